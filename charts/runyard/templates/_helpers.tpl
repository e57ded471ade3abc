{{- define "runyard.name" -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{/* Labels of a component's objects: a dict of "root" and "component". */}}
{{- define "runyard.labels" -}}
{{ include "runyard.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ .root.Chart.Name }}-{{ .root.Chart.Version }}
{{- end -}}

{{- define "runyard.selector" -}}
app.kubernetes.io/name: runyard
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{/* An image: a dict of "root" and "image". */}}
{{- define "runyard.image" -}}
{{ .image.repository }}:{{ .image.tag | default .root.Chart.AppVersion }}
{{- end -}}

{{- define "runyard.pullSecrets" -}}
{{- range .Values.imagePullSecrets }}
- name: {{ . }}
{{- end }}
{{- end -}}

{{/* What the "restricted" standard asks of a pod, given its user, and of a container. */}}
{{- define "runyard.podSecurity" -}}
runAsNonRoot: true
runAsUser: {{ int64 . }}
runAsGroup: {{ int64 . }}
fsGroup: {{ int64 . }}
fsGroupChangePolicy: OnRootMismatch
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{- define "runyard.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end -}}

{{/* Addresses of MLflow: in the cluster, and for people. */}}
{{- define "runyard.mlflowUrl" -}}
http://{{ include "runyard.name" . }}-mlflow.{{ .Release.Namespace }}.svc:5000
{{- end -}}

{{- define "runyard.publicUrl" -}}
{{- if .Values.ingress.publicUrl -}}
{{ .Values.ingress.publicUrl | trimSuffix "/" }}
{{- else if .Values.ingress.enabled -}}
{{ ternary "https" "http" (ne .Values.ingress.tls.secretName "") }}://{{ .Values.ingress.host }}
{{- else -}}
{{ include "runyard.mlflowUrl" . }}
{{- end -}}
{{- end -}}

{{- define "runyard.postgresSecret" -}}
{{- if .Values.postgres.external.host -}}
{{ .Values.postgres.external.existingSecret }}
{{- else -}}
{{ .Values.postgres.existingSecret | default (printf "%s-postgres" (include "runyard.name" .)) }}
{{- end -}}
{{- end -}}

{{- define "runyard.objectStoreSecret" -}}
{{- if .Values.objectStore.external.endpoint -}}
{{ .Values.objectStore.external.existingSecret }}
{{- else -}}
{{ .Values.minio.existingSecret | default (printf "%s-minio" (include "runyard.name" .)) }}
{{- end -}}
{{- end -}}
