{{- define "gvList" -}}
# Field reference

Every field of every kind, made from the Go types by `make generate`; `kubectl explain` says the same. Fields in **bold** are required.
{{ range . }}
{{ template "gvDetails" . }}
{{- end }}
{{- end -}}
