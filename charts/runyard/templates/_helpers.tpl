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

{{/* What the "restricted" standard asks of a pod and of a container. */}}
{{- define "runyard.podSecurity" -}}
runAsNonRoot: true
runAsUser: {{ . }}
runAsGroup: {{ . }}
fsGroup: {{ . }}
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

{{/* Names of Services, Secrets and addresses that more than one component uses. */}}
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
{{ .Values.postgres.existingSecret | default (printf "%s-postgres" (include "runyard.name" .)) }}
{{- end -}}

{{- define "runyard.postgresHost" -}}
{{ .Values.postgres.external.host | default (printf "%s-postgres" (include "runyard.name" .)) }}
{{- end -}}

{{- define "runyard.objectStoreSecret" -}}
{{ .Values.minio.existingSecret | default (printf "%s-minio" (include "runyard.name" .)) }}
{{- end -}}

{{- define "runyard.objectStoreEndpoint" -}}
{{ .Values.objectStore.external.endpoint | default (printf "http://%s-minio:9000" (include "runyard.name" .)) }}
{{- end -}}

{{/* Environment of whoever talks to the database, and to the object store. */}}
{{- define "runyard.postgresEnv" -}}
- name: PGHOST
  value: {{ include "runyard.postgresHost" . }}
- name: PGPORT
  value: {{ .Values.postgres.external.port | quote }}
- name: PGDATABASE
  value: {{ .Values.postgres.external.database }}
- name: PGUSER
  value: {{ .Values.postgres.external.user }}
- name: PGPASSWORD
  valueFrom:
    secretKeyRef:
      name: {{ include "runyard.postgresSecret" . }}
      key: password
{{- end -}}

{{- define "runyard.objectStoreEnv" -}}
- name: MLFLOW_S3_ENDPOINT_URL
  value: {{ include "runyard.objectStoreEndpoint" . }}
- name: AWS_DEFAULT_REGION
  value: {{ .Values.objectStore.external.region }}
- name: AWS_ACCESS_KEY_ID
  valueFrom:
    secretKeyRef:
      name: {{ include "runyard.objectStoreSecret" . }}
      key: accessKey
- name: AWS_SECRET_ACCESS_KEY
  valueFrom:
    secretKeyRef:
      name: {{ include "runyard.objectStoreSecret" . }}
      key: secretKey
{{- end -}}
