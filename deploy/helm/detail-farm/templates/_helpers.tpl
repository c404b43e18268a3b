{{/* Names */}}
{{- define "farm.name" -}}
{{- if contains .Chart.Name .Release.Name }}{{ .Release.Name | trunc 40 | trimSuffix "-" }}{{ else }}{{ printf "%s-%s" .Release.Name .Chart.Name | trunc 40 | trimSuffix "-" }}{{ end }}
{{- end }}

{{- define "farm.selector" -}}
app.kubernetes.io/name: detail-farm
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "farm.labels" -}}
{{ include "farm.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{- define "farm.serviceAccount" -}}
{{ .Values.serviceAccount.name | default (ternary (include "farm.name" .) "default" .Values.serviceAccount.create) }}
{{- end }}

{{- define "farm.redisSecret" -}}
{{ .Values.redis.existingSecret | default (printf "%s-redis" (include "farm.name" .)) }}
{{- end }}

{{- define "farm.apiImage" -}}
{{ .Values.image.api.repository }}:{{ .Values.image.api.tag | default .Chart.AppVersion }}
{{- end }}

{{- define "farm.workerImage" -}}
{{ .Values.image.worker.repository }}:{{ .Values.image.worker.tag | default .Chart.AppVersion }}
{{- end }}

{{/* Where Redis and the store are, for every process */}}
{{- define "farm.env" -}}
{{- if .Values.redis.embedded.enabled }}
- name: REDIS_PASSWORD
  valueFrom:
    secretKeyRef: {name: {{ include "farm.redisSecret" . }}, key: password}
- name: FARM_REDIS_URL
  value: redis://:$(REDIS_PASSWORD)@{{ include "farm.name" . }}-redis:6379/0
{{- else }}
- name: FARM_REDIS_URL
  valueFrom:
    secretKeyRef: {name: {{ required "redis.external.existingSecret: name a secret whose key `url` is the address of Redis, or set redis.embedded.enabled" .Values.redis.external.existingSecret }}, key: url}
{{- if .Values.redis.external.caSecret }}
- name: FARM_REDIS_CA
  value: /etc/farm/redis-ca/ca.crt
{{- end }}
{{- end }}
{{- with .Values.s3.endpoint }}
- name: FARM_S3_ENDPOINT
  value: {{ . | quote }}
{{- end }}
{{- with .Values.s3.publicEndpoint }}
- name: FARM_S3_PUBLIC_ENDPOINT
  value: {{ . | quote }}
{{- end }}
- name: FARM_S3_BUCKET
  value: {{ .Values.s3.bucket | quote }}
{{- with .Values.s3.prefix }}
- name: FARM_S3_PREFIX
  value: {{ . | quote }}
{{- end }}
- name: FARM_S3_REGION
  value: {{ .Values.s3.region | quote }}
- name: FARM_S3_ADDRESSING
  value: {{ .Values.s3.addressing | quote }}
{{- if .Values.s3.existingSecret }}
{{- range list "AWS_ACCESS_KEY_ID" "AWS_SECRET_ACCESS_KEY" }}
- name: {{ . }}
  valueFrom:
    secretKeyRef: {name: {{ $.Values.s3.existingSecret }}, key: {{ . }}}
{{- end }}
{{- end }}
{{- if .Values.s3.caSecret }}
- name: AWS_CA_BUNDLE
  value: /etc/farm/s3-ca/ca.crt
{{- end }}
{{- range $name, $value := .Values.settings }}
- name: {{ $name }}
  value: {{ $value | quote }}
{{- end }}
{{- end }}

{{/* The root file system is read-only: what is written lies in volumes */}}
{{- define "farm.mounts" -}}
- {name: data, mountPath: /var/lib/farm}
- {name: scratch, mountPath: /tmp}
{{- if and (not .Values.redis.embedded.enabled) .Values.redis.external.caSecret }}
- {name: redis-ca, mountPath: /etc/farm/redis-ca, readOnly: true}
{{- end }}
{{- if .Values.s3.caSecret }}
- {name: s3-ca, mountPath: /etc/farm/s3-ca, readOnly: true}
{{- end }}
{{- end }}

{{- define "farm.caVolumes" -}}
{{- if and (not .Values.redis.embedded.enabled) .Values.redis.external.caSecret }}
- name: redis-ca
  secret: {secretName: {{ .Values.redis.external.caSecret }}}
{{- end }}
{{- if .Values.s3.caSecret }}
- name: s3-ca
  secret: {secretName: {{ .Values.s3.caSecret }}}
{{- end }}
{{- end }}

{{- define "farm.podSecurity" -}}
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
fsGroup: 10001
fsGroupChangePolicy: OnRootMismatch
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "farm.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}

{{/* Deployment of workers: {root, name, component, image, command, worker} */}}
{{- define "farm.workers" -}}
{{- $root := .root }}
{{- $worker := .worker }}
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ include "farm.name" $root }}-{{ .component }}
  labels:
    {{- include "farm.labels" $root | nindent 4 }}
    app.kubernetes.io/component: {{ .component }}
spec:
  {{- if not $root.Values.keda.enabled }}
  replicas: {{ $worker.replicas }}
  {{- end }}
  revisionHistoryLimit: 3
  # The old ones drain while new ones start; a GPU may have to be given up before another worker gets it.
  strategy:
    rollingUpdate: {{ ternary "{maxSurge: 0, maxUnavailable: 1}" "{maxSurge: 1, maxUnavailable: 0}" .gpu }}
  selector:
    matchLabels:
      {{- include "farm.selector" $root | nindent 6 }}
      app.kubernetes.io/component: {{ .component }}
  template:
    metadata:
      labels:
        {{- include "farm.labels" $root | nindent 8 }}
        app.kubernetes.io/component: {{ .component }}
        detail-farm/role: worker
      {{- with $worker.podAnnotations }}
      annotations: {{- toYaml . | nindent 8 }}
      {{- end }}
    spec:
      serviceAccountName: {{ include "farm.serviceAccount" $root }}
      automountServiceAccountToken: false
      {{- with $root.Values.image.pullSecrets }}
      imagePullSecrets: {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with $worker.runtimeClassName }}
      runtimeClassName: {{ . }}
      {{- end }}
      securityContext: {{- include "farm.podSecurity" $root | nindent 8 }}
      # SIGTERM drains: no more tasks are taken, those that it has are finished within FARM_GRACE_S, or handed back ten
      # seconds later. Kubernetes must be more patient than that.
      terminationGracePeriodSeconds: {{ add $worker.graceSeconds 20 }}
      containers:
        - name: worker
          image: {{ .image | quote }}
          imagePullPolicy: {{ $root.Values.image.pullPolicy }}
          args: {{ toJson .command }}
          env:
            {{- include "farm.env" $root | trim | nindent 12 }}
            - name: FARM_GRACE_S
              value: {{ $worker.graceSeconds | quote }}
            - name: FARM_DATA_DIR
              value: /var/lib/farm
            - name: FARM_ALIVE_FILE
              value: /dev/shm/farm-alive
            {{- range $name, $value := $worker.env }}
            - name: {{ $name }}
              value: {{ $value | quote }}
            {{- end }}
          lifecycle:
            preStop:
              # Drains, and returns when the worker has ended: its network policy and volumes stay until then.
              exec: {command: [sh, -c, "kill -TERM 1; while kill -0 1 2>/dev/null; do sleep 1; done"]}
          # It touches the file with each sign of life; a Redis that is away for five minutes is no fault of the worker's.
          startupProbe:
            exec: {command: [test, -e, /dev/shm/farm-alive]}
            periodSeconds: 5
            failureThreshold: 60
          livenessProbe:
            exec: {command: [sh, -c, "find /dev/shm/farm-alive -mmin -10 | grep -q ."]}
            periodSeconds: 60
            failureThreshold: 3
          securityContext: {{- include "farm.containerSecurity" $root | nindent 12 }}
          resources:
            requests: {{- toYaml $worker.resources.requests | nindent 14 }}
            limits:
              {{- toYaml $worker.resources.limits | nindent 14 }}
              {{- if .gpu }}
              {{ $worker.resource }}: 1
              {{- end }}
          volumeMounts:
            {{- include "farm.mounts" $root | trim | nindent 12 }}
      volumes:
        - name: scratch
          emptyDir: {}
        - name: data
          {{- if eq $worker.cache.kind "claim" }}
          persistentVolumeClaim: {claimName: {{ required "cache.claim: name a ReadWriteMany claim" $worker.cache.claim }}}
          {{- else if eq $worker.cache.kind "ephemeral" }}
          ephemeral:
            volumeClaimTemplate:
              spec:
                accessModes: [ReadWriteOnce]
                {{- with $worker.cache.storageClass }}
                storageClassName: {{ . }}
                {{- end }}
                resources: {requests: {storage: {{ $worker.cache.size }}}}
          {{- else }}
          emptyDir: {sizeLimit: {{ $worker.cache.size }}}
          {{- end }}
        {{- include "farm.caVolumes" $root | trim | nindent 8 }}
      {{- with $worker.nodeSelector }}
      nodeSelector: {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with $worker.tolerations }}
      tolerations: {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with $worker.affinity }}
      affinity: {{- toYaml . | nindent 8 }}
      {{- end }}
{{- if $worker.podDisruptionBudget.enabled }}
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  name: {{ include "farm.name" $root }}-{{ .component }}
  labels: {{- include "farm.labels" $root | nindent 4 }}
spec:
  maxUnavailable: {{ $worker.podDisruptionBudget.maxUnavailable }}
  selector:
    matchLabels:
      {{- include "farm.selector" $root | nindent 6 }}
      app.kubernetes.io/component: {{ .component }}
{{- end }}
{{- if $root.Values.keda.enabled }}
---
apiVersion: keda.sh/v1alpha1
kind: ScaledObject
metadata:
  name: {{ include "farm.name" $root }}-{{ .component }}
  labels: {{- include "farm.labels" $root | nindent 4 }}
spec:
  scaleTargetRef: {name: {{ include "farm.name" $root }}-{{ .component }}}
  minReplicaCount: {{ $worker.scale.min }}
  maxReplicaCount: {{ $worker.scale.max }}
  pollingInterval: {{ $root.Values.keda.pollingSeconds }}
  cooldownPeriod: {{ $root.Values.keda.cooldownSeconds }}
  # An API that does not answer is no reason to end workers.
  fallback: {failureThreshold: 4, replicas: {{ max $worker.scale.min $worker.replicas }}, behavior: currentReplicasIfHigher}
  advanced:
    horizontalPodAutoscalerConfig:
      behavior:
        scaleUp:
          policies: [{type: Pods, value: {{ $worker.scale.max }}, periodSeconds: 15}]
        scaleDown:
          stabilizationWindowSeconds: {{ $root.Values.keda.calmSeconds }}
          policies: [{type: Pods, value: {{ $root.Values.keda.downPodsPerMinute }}, periodSeconds: 60}]
  # Demand is what waits and the workers that are at work: one for each of both. So a worker at work is never surplus.
  triggers:
    {{- if eq $root.Values.keda.trigger "prometheus" }}
    - type: prometheus
      metricType: AverageValue
      metadata:
        serverAddress: {{ $root.Values.keda.prometheusAddress | quote }}
        query: sum(max by (queue) (farm_queue_demand{namespace="{{ $root.Release.Namespace }}", queue=~"{{ join "|" .scaleOn | replace "." "[.]" }}"}))
        threshold: "1"
        activationThreshold: "0"
    {{- else }}
    - type: metrics-api
      metricType: AverageValue
      metadata:
        url: "http://{{ include "farm.name" $root }}-api.{{ $root.Release.Namespace }}:{{ $root.Values.api.service.port }}/api/v1/queues?queue={{ join "&queue=" .scaleOn }}"
        valueLocation: demand
        targetValue: "1"
        activationTargetValue: "0"
        authMode: apiKey
        method: header
        keyParamName: X-API-Key
      authenticationRef: {name: {{ include "farm.name" $root }}-keda}
    {{- end }}
{{- end }}
{{- end }}
