/** Prometheus metrics of the api process, and of the inference processes as it knows them. */
import { Counter, Gauge, Histogram, type Registry as MetricsRegistry } from 'prom-client'
import type { InferenceClient } from '../inference/client-contract.js'
import { measureReplicas } from '../inference/client-metrics.js'
import type { Registry } from '../registry/registry.js'

export interface Metrics {
  /** @param route the pattern, never the path: names of tasks are no labels */
  observeRequest (route: string, method: string, status: number, seconds: number): void
  observeTokens (kind: 'prompt' | 'completion', count: number): void
}

/** Adds them to `registry`. */
export function createMetrics (registry: MetricsRegistry, inference: InferenceClient, jobs: Pick<Registry, 'countWaitingJobs'>): Metrics {
  const registers = [registry]
  const requests = new Histogram({
    name: 'permafrost_http_request_duration_seconds',
    help: 'From the first byte of the request to the last of the answer.',
    labelNames: ['route', 'method', 'status'],
    buckets: [0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30],
    registers
  })
  const tokens = new Counter({ name: 'permafrost_tokens_total', help: 'Tokens of answered requests.', labelNames: ['kind'], registers })
  registry.registerMetric(new Gauge({
    name: 'permafrost_inference_replicas',
    help: 'Inference processes that are ready.',
    registers: [],
    collect () { this.set(inference.replicas().filter(({ status }) => status?.ready === true).length) }
  }))
  registry.registerMetric(new Gauge({
    name: 'permafrost_jobs_waiting',
    help: 'Training jobs that wait for a worker.',
    registers: [],
    async collect () {
      // No number says more than an old one, and the rest of the scrape must not fail with Redis.
      this.reset()
      const count = await jobs.countWaitingJobs().catch(() => null)
      if (count === null) this.remove()
      else this.set(count)
    }
  }))
  measureReplicas(registry, () => inference.replicas().map(({ url, status }) => ({ replica: url, status })))
  return {
    observeRequest: (route, method, status, seconds) => requests.observe({ route, method, status: String(status) }, seconds),
    observeTokens: (kind, count) => tokens.inc({ kind }, count)
  }
}
