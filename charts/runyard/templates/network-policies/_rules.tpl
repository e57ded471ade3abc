{{- define "runyard.egressDns" -}}
- to:
  - namespaceSelector: {}
  - ipBlock: {cidr: 169.254.20.10/32}
  ports:
  - {port: 53, protocol: UDP}
  - {port: 53, protocol: TCP}
{{- end -}}

{{/* The API server has no labels by which a policy could name it. */}}
{{- define "runyard.egressApiServer" -}}
- ports:
  - {port: 443, protocol: TCP}
  - {port: 6443, protocol: TCP}
  {{- with .Values.networkPolicies.apiServerCidrs }}
  to:
  {{- range . }}
  - ipBlock: {cidr: {{ . | quote }}}
  {{- end }}
  {{- end }}
{{- end -}}

{{/* A peer of this release: a dict of "root" and "component". */}}
{{- define "runyard.peer" -}}
- podSelector:
    matchLabels: {{- include "runyard.selector" . | nindent 6 }}
{{- end -}}

{{- define "runyard.egressPostgres" -}}
{{- if .Values.postgres.external.host -}}
- ports:
  - {port: {{ .Values.postgres.external.port | int }}, protocol: TCP}
{{- else -}}
- to:
  {{- include "runyard.peer" (dict "root" . "component" "postgres") | nindent 2 }}
  ports:
  - {port: 5432, protocol: TCP}
{{- end -}}
{{- end -}}
