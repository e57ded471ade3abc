{{/* libpq's own variables: no password has to be written into an address. */}}
{{- define "runyard.postgresEnv" -}}
{{- $external := .Values.postgres.external }}
{{- $bundled := not $external.host }}
- name: PGHOST
  value: {{ ternary (printf "%s-postgres" (include "runyard.name" .)) $external.host $bundled }}
- name: PGPORT
  value: {{ ternary 5432 $external.port $bundled | int | quote }}
- name: PGDATABASE
  value: {{ ternary "mlflow" $external.database $bundled | quote }}
- name: PGUSER
  value: {{ ternary "mlflow" $external.user $bundled | quote }}
- name: PGPASSWORD
  valueFrom:
    secretKeyRef:
      name: {{ include "runyard.postgresSecret" . }}
      key: password
{{- end -}}

{{- define "runyard.objectStoreEnv" -}}
{{- $external := .Values.objectStore.external }}
{{- $bundled := not $external.endpoint }}
- name: MLFLOW_S3_ENDPOINT_URL
  value: {{ ternary (printf "http://%s-minio:9000" (include "runyard.name" .)) $external.endpoint $bundled }}
- name: AWS_DEFAULT_REGION
  value: {{ ternary "us-east-1" $external.region $bundled }}
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
