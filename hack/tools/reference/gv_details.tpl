{{- define "gvDetails" -}}
## {{ .GroupVersionString }}

{{ trim .Doc }}

Kinds: {{ $gv := . }}{{ range $i, $kind := .SortedKinds }}{{ if $i }}, {{ end }}{{ $gv.TypeForKind $kind | markdownRenderTypeLink }}{{ end }}
{{ range .SortedTypes }}{{ template "type" . }}{{ end }}
{{- end -}}
