{{- define "leeward.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "leeward.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 63 | trimSuffix "-" }}
{{- else }}
{{- $name := default .Chart.Name .Values.nameOverride }}
{{- if contains $name .Release.Name }}
{{- .Release.Name | trunc 63 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name $name | trunc 63 | trimSuffix "-" }}
{{- end }}
{{- end }}
{{- end }}

{{- define "leeward.selectorLabels" -}}
app.kubernetes.io/name: {{ include "leeward.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "leeward.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{ include "leeward.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/part-of: leeward
{{- end }}

{{- define "leeward.serviceAccountName" -}}
{{- default (include "leeward.fullname" .) .Values.serviceAccount.name }}
{{- end }}

{{- /* The operator as the API server knows it: the admission policies name it. */}}
{{- define "leeward.operatorUser" -}}
system:serviceaccount:{{ .Release.Namespace }}:{{ include "leeward.serviceAccountName" . }}
{{- end }}

{{- define "leeward.image" -}}
{{- $image := .Values.image -}}
{{- with $image.registry }}{{ . }}/{{ end }}{{ $image.repository }}
{{- if $image.digest }}@{{ $image.digest }}{{ else }}:{{ $image.tag | default .Chart.AppVersion }}{{ end }}
{{- end }}

{{- /* A generated object (text) with the chart's labels, kept at uninstallation if (keep). The text is
inserted as it is: the operator compares the policies with its own, field by field. */}}
{{- define "leeward.generated" -}}
{{- $parts := regexSplit "\nspec:\n" (trimSuffix "\n" .text) 2 -}}
{{ index $parts 0 }}
  labels:
    {{- include "leeward.labels" .root | nindent 4 }}
  {{- if .keep }}
  annotations:
    helm.sh/resource-policy: keep
  {{- end }}
spec:
{{ index $parts 1 }}
{{- end }}

{{- /* Not those of the operator's pods, which its Service and its budget select. */}}
{{- define "leeward.preflightLabels" -}}
app.kubernetes.io/name: {{ include "leeward.name" . | trunc 53 }}-preflight
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/part-of: leeward
{{- end }}

{{- define "leeward.preflightRights" -}}
helm.sh/hook: pre-install,pre-upgrade,pre-rollback,pre-delete
helm.sh/hook-weight: "-10"
helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded
{{- end }}

{{- /* Port of the collector of traces, from its URL. */}}
{{- define "leeward.collectorPort" -}}
{{- $url := urlParse .Values.tracing.endpoint -}}
{{- regexFind "[0-9]+$" (regexFind ":[0-9]+$" $url.host) | default (ternary "443" "80" (eq $url.scheme "https")) }}
{{- end }}
