{{/* Names under which the dashboard may be called, as a JSON list: its Service's, and those of the ingress. */}}
{{- define "runyard.dashboardHosts" -}}
{{- $service := printf "%s-dashboard" (include "runyard.name" .) }}
{{- $inside := printf "%s.%s" $service .Release.Namespace }}
{{- $hosts := list $service $inside (printf "%s.svc" $inside) (printf "%s.svc.cluster.local" $inside) }}
{{- concat $hosts (include "runyard.publicHosts" . | fromJsonArray) | uniq | toJson }}
{{- end -}}
