/** Prometheus metrics of the inference process, under the names that the api gives what it hears from its replicas. */
import { Counter, Gauge, type Registry as MetricsRegistry } from 'prom-client'
import type { ServiceStatus } from './protocol.js'

/** Reads `service` at each scrape of `registry`. */
export function measureService (service: { status (): ServiceStatus }, registry: MetricsRegistry): void {
  const gauge = (name: string, help: string, read: (status: ServiceStatus) => number): void => {
    registry.registerMetric(new Gauge({ name: `permafrost_inference_${name}`, help, registers: [], collect () { this.set(read(service.status())) } }))
  }
  const counter = (name: string, help: string, read: (status: ServiceStatus) => number): void => {
    registry.registerMetric(new Counter({
      name: `permafrost_inference_${name}_total`,
      help,
      registers: [],
      // The service counts; a counter here can only be set by way of zero.
      collect () {
        this.reset()
        this.inc(read(service.status()))
      }
    }))
  }
  gauge('up', '1 when this process is ready and not stopping.', status => status.ready ? 1 : 0)
  gauge('running', 'Sequences in a slot.', status => status.running)
  gauge('waiting', 'Sequences that wait for a slot.', status => status.waiting)
  gauge('slots', 'Slots of the KV cache.', status => status.slots)
  gauge('prompts_cached', 'Compiled prompts in memory.', status => status.promptsCached)
  gauge('prompt_cache_bytes', 'Bytes of the compiled prompts.', status => status.promptCacheBytes)
  counter('steps', 'Steps of the model.', status => status.stepsTotal)
  counter('tokens', 'Tokens through the model.', status => status.tokensTotal)
}
