/** Prometheus metrics of the api process, and of the inference processes as it knows them. */
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry as MetricsRegistry } from 'prom-client'
import type { InferenceClient } from '../inference/client-contract.js'

export interface Metrics {
  /** @param route the pattern, never the path: names of tasks are no labels */
  observeRequest (route: string, method: string, status: number, seconds: number): void
  observeTokens (kind: 'prompt' | 'completion', count: number): void
  readonly contentType: string
  text (): Promise<string>
}

export function createMetrics (inference: InferenceClient): Metrics {
  const registers = [new MetricsRegistry()]
  const [registry] = registers as [MetricsRegistry]
  collectDefaultMetrics({ register: registry })
  const requests = new Histogram({
    name: 'permafrost_http_request_duration_seconds',
    help: 'From the first byte of the request to the last of the answer.',
    labelNames: ['route', 'method', 'status'],
    buckets: [0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30],
    registers
  })
  const tokens = new Counter({ name: 'permafrost_tokens_total', help: 'Tokens of answered requests.', labelNames: ['kind'], registers })
  const replicas = new Gauge({ name: 'permafrost_inference_replicas', help: 'Inference processes that are ready.', registers })
  const ofReplica = { labelNames: ['replica'] as const, registers }
  const up = new Gauge({ ...ofReplica, name: 'permafrost_inference_up', help: '1 when the inference process answers and is ready.' })
  const numbers = [
    [new Gauge({ ...ofReplica, name: 'permafrost_inference_running', help: 'Sequences in a slot.' }), 'running'],
    [new Gauge({ ...ofReplica, name: 'permafrost_inference_waiting', help: 'Sequences that wait for a slot.' }), 'waiting'],
    [new Gauge({ ...ofReplica, name: 'permafrost_inference_slots', help: 'Slots of the KV cache.' }), 'slots'],
    [new Gauge({ ...ofReplica, name: 'permafrost_inference_prompts_cached', help: 'Compiled prompts in memory.' }), 'promptsCached'],
    [new Gauge({ ...ofReplica, name: 'permafrost_inference_prompt_cache_bytes', help: 'Bytes of the compiled prompts.' }), 'promptCacheBytes'],
    [new Counter({ ...ofReplica, name: 'permafrost_inference_steps_total', help: 'Steps since the inference process started.' }), 'stepsTotal'],
    [new Counter({ ...ofReplica, name: 'permafrost_inference_tokens_total', help: 'Tokens generated since the inference process started.' }), 'tokensTotal']
  ] as const

  function lookAtReplicas (): void {
    const known = inference.replicas()
    replicas.set(known.filter(({ status }) => status?.ready === true).length)
    up.reset()
    for (const { url, status } of known) up.set({ replica: url }, status?.ready === true ? 1 : 0)
    for (const [metric, field] of numbers) {
      // One that is gone must not keep its last numbers.
      metric.reset()
      for (const { url, status } of known) {
        if (status !== null) metric.inc({ replica: url }, status[field])
      }
    }
  }

  return {
    observeRequest: (route, method, status, seconds) => requests.observe({ route, method, status: String(status) }, seconds),
    observeTokens: (kind, count) => tokens.inc({ kind }, count),
    contentType: registry.contentType,
    async text () {
      lookAtReplicas()
      return await registry.metrics()
    }
  }
}
