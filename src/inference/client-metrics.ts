/** Prometheus metrics of inference processes: of the own one, and of all as an api knows them, under the same names. */
import { Counter, Gauge, type Registry as MetricsRegistry } from 'prom-client'
import type { ServiceStatus } from './protocol.js'

export interface MeasuredReplica {
  /** Its url, as the label `replica`; absent: the process that is scraped. */
  readonly replica?: string
  /** Null: it does not answer. */
  readonly status: ServiceStatus | null
}

/** Reads `replicas` at each scrape of `registry`. */
export function measureReplicas (registry: MetricsRegistry, replicas: () => readonly MeasuredReplica[]): void {
  const measure = (Metric: typeof Gauge<'replica'> | typeof Counter<'replica'>, name: string, help: string, read: (status: ServiceStatus | null) => number | undefined): void => {
    registry.registerMetric(new Metric({
      name: `permafrost_inference_${name}`,
      help,
      labelNames: ['replica'],
      registers: [],
      // Begins anew at each scrape: the processes count themselves, and one that is gone must not keep its last numbers.
      collect () {
        this.reset()
        for (const { replica, status } of replicas()) {
          const value = read(status)
          if (value !== undefined) this.inc(replica === undefined ? {} : { replica }, value)
        }
      }
    }))
  }
  measure(Gauge, 'up', '1 when the inference process answers and is ready.', status => status?.ready === true ? 1 : 0)
  measure(Gauge, 'running', 'Sequences in a slot.', status => status?.running)
  measure(Gauge, 'waiting', 'Sequences that wait for a slot.', status => status?.waiting)
  measure(Gauge, 'slots', 'Slots of the KV cache.', status => status?.slots)
  measure(Gauge, 'prompts_cached', 'Compiled prompts in memory, with and without the fixed tokens of a template behind them.', status => status?.promptsCached)
  measure(Gauge, 'prompt_cache_bytes', 'Bytes of the compiled prompts.', status => status?.promptCacheBytes)
  measure(Gauge, 'prompt_bytes_in_use', 'Bytes of compiled prompts, in memory or being compiled, that requests wait with: more than the bound are refused.', status => status?.promptBytesInUse)
  measure(Gauge, 'prompt_embeddings', 'Prompts whose embeddings are in memory.', status => status?.promptEmbeddings)
  measure(Gauge, 'prompt_embedding_bytes', 'Bytes of these embeddings.', status => status?.promptEmbeddingBytes)
  measure(Counter, 'prompt_hits_total', 'Requests that found their prompt compiled.', status => status?.promptHitsTotal)
  measure(Counter, 'prompt_misses_total', 'Requests that waited for their prompt.', status => status?.promptMissesTotal)
  measure(Counter, 'prompt_embedding_hits_total', 'Prompts made ready from embeddings in memory.', status => status?.promptEmbeddingHitsTotal)
  measure(Counter, 'prompt_embedding_misses_total', 'Prompts made ready from the artifact store.', status => status?.promptEmbeddingMissesTotal)
  measure(Counter, 'prompt_compiles_total', 'Prompts compiled.', status => status?.promptCompilesTotal)
  measure(Counter, 'prompt_tokens_prefilled_total', 'Virtual tokens run through the model: those of compiled prompts never are again.', status => status?.promptTokensPrefilledTotal)
  measure(Counter, 'fixed_tokens_prefilled_total', 'Fixed first tokens of templates run through the model.', status => status?.fixedTokensPrefilledTotal)
  measure(Counter, 'fixed_tokens_reused_total', 'Fixed first tokens of inputs that were not run again.', status => status?.fixedTokensReusedTotal)
  measure(Counter, 'steps_total', 'Steps since the inference process started.', status => status?.stepsTotal)
  measure(Counter, 'packed_inputs_total', 'Short inputs taken in together with others, several in one run.', status => status?.packedInputsTotal)
  measure(Counter, 'tokens_total', 'Tokens generated since the inference process started.', status => status?.tokensTotal)
}
