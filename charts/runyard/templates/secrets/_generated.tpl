{{/* The Secrets that nobody else brings, as NAME:KEY[,KEY…]; empty if there are none. */}}
{{- define "runyard.generatedSecrets" -}}
{{- if not (or .Values.postgres.external.host .Values.postgres.existingSecret) }}
- {{ include "runyard.postgresSecret" . }}:password
{{- end }}
{{- if not (or .Values.objectStore.external.endpoint .Values.minio.existingSecret) }}
- {{ include "runyard.objectStoreSecret" . }}:accessKey,secretKey
{{- end }}
{{- end -}}
