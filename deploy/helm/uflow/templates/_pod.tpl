{{- define "uflow.env" -}}
- { name: UFLOW_MODELS, value: {{ .Values.models.url | default "/models" | quote }} }
- { name: UFLOW_GRPC, value: "0.0.0.0:8001" }
- { name: UFLOW_HTTP, value: "0.0.0.0:8002" }
- { name: UFLOW_DEVICE, value: {{ ternary .Values.gpu.device "cpu" (gt (int .Values.gpu.count) 0) }} }
{{- if .Values.gpu.count }}
- { name: UFLOW_PRECISION, value: {{ .Values.gpu.precision }} }
{{- end }}
{{- if or .Values.gpu.count .Values.models.url }}
- { name: UFLOW_CACHE, value: /var/cache/uflow }
{{- end }}
{{- if .Values.tls.secretName }}
- { name: UFLOW_TLS_CERT, value: /run/secrets/uflow/tls/tls.crt }
- { name: UFLOW_TLS_KEY, value: /run/secrets/uflow/tls/tls.key }
- { name: UFLOW_HTTP_TLS, value: "false" }
{{- if .Values.tls.clientCA }}
- { name: UFLOW_TLS_CLIENT_CA, value: /run/secrets/uflow/tls/ca.crt }
{{- end }}
{{- end }}
{{- if .Values.tokens.secretName }}
- { name: UFLOW_TOKENS, value: /run/secrets/uflow/tokens/tokens }
{{- end }}
{{- range $name, $value := .Values.settings }}
- name: UFLOW_{{ upper $name }}
  value: {{ include "uflow.text" $value | quote }}
{{- end }}
{{- with .Values.env }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* Kubernetes' gRPC probes speak no TLS. */}}
{{- define "uflow.ready" -}}
{{- if .Values.tls.secretName }}
httpGet: { path: /readyz, port: http }
{{- else }}
grpc: { port: 8001 }
{{- end }}
{{- end }}

{{- define "uflow.probes" -}}
# Large models take long to load: ten minutes.
startupProbe:
  {{- include "uflow.ready" . | nindent 2 }}
  periodSeconds: 2
  failureThreshold: 300
readinessProbe:
  {{- include "uflow.ready" . | nindent 2 }}
  periodSeconds: 2
  failureThreshold: 2
livenessProbe:
  httpGet: { path: /healthz, port: http }
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 6
{{- end }}
