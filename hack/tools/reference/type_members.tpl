{{- define "type_members" -}}
{{- $required := false }}{{ range .Validation }}{{ if hasPrefix "Required:" . }}{{ $required = true }}{{ end }}{{ end -}}
{{- $limits := list -}}
{{- range .Validation }}{{ if not (or (hasPrefix "Required:" .) (hasPrefix "Optional:" .)) }}{{ $limits = append $limits (replace "|" "\\|" .) }}{{ end }}{{ end -}}
{{- $rules := index .Markers "kubebuilder:validation:XValidation" -}}
{{- if not (deepEqual $rules (index .Type.Markers "kubebuilder:validation:XValidation")) }}{{ range $rules }}{{ $limits = append $limits (markdownRenderFieldDoc .Message) }}{{ end }}{{ end -}}
{{- with .Default }}{{ $limits = append $limits (printf "Default: %s" (markdownRenderDefault .)) }}{{ end -}}
| {{ if $required }}**`{{ .Name }}`**{{ else }}`{{ .Name }}`{{ end }} {{ markdownRenderType .Type }} | {{ .Doc | replace "\n" " " | markdownRenderFieldDoc }} | {{ join "<br />" $limits }} |
{{- end -}}
