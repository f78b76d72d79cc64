/** Prometheus metrics of the inference process, under the names that the api gives what it hears from its replicas. */
import { Counter, Gauge, type Registry as MetricsRegistry } from 'prom-client'
import type { ServiceStatus } from './protocol.js'

/** Reads `service` at each scrape of `registry`. */
export function measureService (registry: MetricsRegistry, service: { status (): ServiceStatus }): void {
  const measure = (Metric: typeof Gauge | typeof Counter, name: string, help: string, read: (status: ServiceStatus) => number): void => {
    registry.registerMetric(new Metric({
      name: `permafrost_inference_${name}`,
      help,
      registers: [],
      // The service counts: a counter here begins anew at each scrape.
      collect () {
        this.reset()
        this.inc(read(service.status()))
      }
    }))
  }
  measure(Gauge, 'up', '1 when this process is ready and does not stop.', status => status.ready ? 1 : 0)
  measure(Gauge, 'running', 'Sequences in a slot.', status => status.running)
  measure(Gauge, 'waiting', 'Sequences that wait for a slot.', status => status.waiting)
  measure(Gauge, 'slots', 'Slots of the KV cache.', status => status.slots)
  measure(Gauge, 'prompts_cached', 'Compiled prompts in memory.', status => status.promptsCached)
  measure(Gauge, 'prompt_cache_bytes', 'Bytes of the compiled prompts.', status => status.promptCacheBytes)
  measure(Counter, 'steps_total', 'Steps since this process started.', status => status.stepsTotal)
  measure(Counter, 'tokens_total', 'Tokens generated since this process started.', status => status.tokensTotal)
}
