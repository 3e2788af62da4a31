{{- define "type" -}}
{{- if markdownShouldRenderType . }}
### {{ .Name }}

{{ trim .Doc }}
{{ if .IsAlias }}
A {{ markdownRenderTypeLink .UnderlyingType }}.
{{ end -}}
{{ if .Validation }}
{{ range .Validation }}* {{ . }}
{{ end -}}
{{ end -}}
{{ with index .Markers "kubebuilder:validation:XValidation" }}
{{ range . }}* {{ .Message }}
{{ end -}}
{{ end -}}
{{ if .References }}
In: {{ range $i, $ref := .SortedReferences }}{{ if $i }}, {{ end }}{{ markdownRenderTypeLink $ref }}{{ end }}
{{ end -}}
{{ if .Members }}
| field | meaning | limits |
|---|---|---|
{{ if .GVK -}}
| **`apiVersion`** string | `{{ .GVK.Group }}/{{ .GVK.Version }}` | |
| **`kind`** string | `{{ .GVK.Kind }}` | |
{{ end -}}
{{ range .Members }}{{ template "type_members" . }}
{{ end -}}
{{ end -}}
{{- $explained := list }}{{ range .EnumValues }}{{ if .Doc }}{{ $explained = append $explained . }}{{ end }}{{ end -}}
{{ if $explained }}
| value | meaning |
|---|---|
{{ range $explained }}| `{{ .Name }}` | {{ .Doc | replace "\n" " " | markdownRenderFieldDoc }} |
{{ end -}}
{{ end -}}
{{ end -}}
{{- end -}}
