/** Prometheus metrics of the api process, and of the inference processes as it knows them. */
import { Counter, Gauge, Histogram, type Registry as MetricsRegistry } from 'prom-client'
import type { InferenceClient } from '../inference/client-contract.js'
import type { StatusReport } from '../inference/protocol.js'

export interface Metrics {
  /** @param route the pattern, never the path: names of tasks are no labels */
  observeRequest (route: string, method: string, status: number, seconds: number): void
  observeTokens (kind: 'prompt' | 'completion', count: number): void
}

/** Adds them to `registry`. */
export function createMetrics (registry: MetricsRegistry, inference: InferenceClient): Metrics {
  const registers = [registry]
  const requests = new Histogram({
    name: 'permafrost_http_request_duration_seconds',
    help: 'From the first byte of the request to the last of the answer.',
    labelNames: ['route', 'method', 'status'],
    buckets: [0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30],
    registers
  })
  const tokens = new Counter({ name: 'permafrost_tokens_total', help: 'Tokens of answered requests.', labelNames: ['kind'], registers })
  measureReplicas(registry, inference)
  return {
    observeRequest: (route, method, status, seconds) => requests.observe({ route, method, status: String(status) }, seconds),
    observeTokens: (kind, count) => tokens.inc({ kind }, count)
  }
}

function measureReplicas (registry: MetricsRegistry, inference: InferenceClient): void {
  registry.registerMetric(new Gauge({
    name: 'permafrost_inference_replicas',
    help: 'Inference processes that are ready.',
    registers: [],
    collect () { this.set(inference.replicas().filter(({ status }) => status?.ready === true).length) }
  }))
  const measure = (Metric: typeof Gauge<'replica'> | typeof Counter<'replica'>, name: string, help: string, read: (status: StatusReport | null) => number | undefined): void => {
    registry.registerMetric(new Metric({
      name: `permafrost_inference_${name}`,
      help,
      labelNames: ['replica'],
      registers: [],
      // Begins anew at each scrape: one that is gone must not keep its last numbers.
      collect () {
        this.reset()
        for (const { url, status } of inference.replicas()) {
          const value = read(status)
          if (value !== undefined) this.inc({ replica: url }, value)
        }
      }
    }))
  }
  measure(Gauge, 'up', '1 when the inference process answers and is ready.', status => status?.ready === true ? 1 : 0)
  measure(Gauge, 'running', 'Sequences in a slot.', status => status?.running)
  measure(Gauge, 'waiting', 'Sequences that wait for a slot.', status => status?.waiting)
  measure(Gauge, 'slots', 'Slots of the KV cache.', status => status?.slots)
  measure(Gauge, 'prompts_cached', 'Compiled prompts in memory.', status => status?.promptsCached)
  measure(Gauge, 'prompt_cache_bytes', 'Bytes of the compiled prompts.', status => status?.promptCacheBytes)
  measure(Counter, 'steps_total', 'Steps since the inference process started.', status => status?.stepsTotal)
  measure(Counter, 'tokens_total', 'Tokens generated since the inference process started.', status => status?.tokensTotal)
}
