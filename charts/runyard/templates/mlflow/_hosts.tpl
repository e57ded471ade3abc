{{/* Hosts under which people open MLflow, as a JSON list. */}}
{{- define "runyard.publicHosts" -}}
{{- $hosts := .Values.mlflow.allowedHosts }}
{{- if .Values.ingress.enabled }}
{{- $hosts = append $hosts .Values.ingress.host }}
{{- end }}
{{- with .Values.ingress.publicUrl }}
{{- $hosts = append $hosts ((urlParse .).host | splitList ":" | first) }}
{{- end }}
{{- $hosts | uniq | toJson }}
{{- end -}}

{{/* MLflow refuses what is called under another name; it compares the port too. */}}
{{- define "runyard.allowedHosts" -}}
{{- $service := printf "%s-mlflow" (include "runyard.name" .) }}
{{- $inside := printf "%s.%s" $service .Release.Namespace }}
{{- $hosts := list $service $inside (printf "%s.svc" $inside) (printf "%s.svc.cluster.local" $inside) "localhost" "127.0.0.1" }}
{{- $allowed := list }}
{{- range concat $hosts (include "runyard.publicHosts" . | fromJsonArray) | uniq }}
{{- $allowed = append (append $allowed .) (printf "%s:*" .) }}
{{- end }}
{{- join "," $allowed }}
{{- end -}}

{{/* A browser names the page's own origin with every POST, and MLflow answers those it knows, besides localhost. */}}
{{- define "runyard.allowedOrigins" -}}
{{- $allowed := list }}
{{- range $host := include "runyard.publicHosts" . | fromJsonArray }}
{{- range $scheme := list "http" "https" }}
{{- $allowed = append (append $allowed (printf "%s://%s" $scheme $host)) (printf "%s://%s:*" $scheme $host) }}
{{- end }}
{{- end }}
{{- join "," $allowed }}
{{- end -}}
