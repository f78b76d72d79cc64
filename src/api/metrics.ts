/** Prometheus metrics of the api process; the inference process's numbers are asked for at each scrape. */
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
  const up = new Gauge({ name: 'permafrost_inference_up', help: '1 when the inference process answers and is ready.', registers })
  const running = new Gauge({ name: 'permafrost_inference_running', help: 'Sequences in a slot.', registers })
  const waiting = new Gauge({ name: 'permafrost_inference_waiting', help: 'Sequences that wait for a slot.', registers })
  const slots = new Gauge({ name: 'permafrost_inference_slots', help: 'Slots of the KV cache.', registers })
  const prompts = new Gauge({ name: 'permafrost_inference_prompts_cached', help: 'Compiled prompts in memory.', registers })
  const promptBytes = new Gauge({ name: 'permafrost_inference_prompt_cache_bytes', help: 'Bytes of the compiled prompts.', registers })
  const steps = new Gauge({ name: 'permafrost_inference_steps', help: 'Steps since the inference process started.', registers })
  const stepTokens = new Gauge({ name: 'permafrost_inference_tokens', help: 'Tokens through the model since the inference process started.', registers })

  async function askInference (): Promise<void> {
    try {
      const status = await inference.status()
      up.set(status.ready ? 1 : 0)
      running.set(status.running)
      waiting.set(status.waiting)
      slots.set(status.slots)
      prompts.set(status.promptsCached)
      promptBytes.set(status.promptCacheBytes)
      steps.set(status.stepsTotal)
      stepTokens.set(status.tokensTotal)
    } catch {
      // The scrape itself must not fail: `up` says it.
      up.set(0)
    }
  }

  return {
    observeRequest: (route, method, status, seconds) => requests.observe({ route, method, status: String(status) }, seconds),
    observeTokens: (kind, count) => tokens.inc({ kind }, count),
    contentType: registry.contentType,
    async text () {
      await askInference()
      return await registry.metrics()
    }
  }
}
