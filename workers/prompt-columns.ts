import type { LlamaConfig } from '../src/model/llama-config.js'
import type { Method } from '../src/prompt/methods.js'

/** Width of a prompt's rows as they are trained and stored: a token embedding, or keys and values of all layers. */
export function promptColumns (method: Method, config: LlamaConfig): number {
  switch (method) {
    case 'prompt-tuning': return config.hiddenSize
    case 'prefix-tuning': return config.numLayers * 2 * config.numKvHeads * config.headSize
  }
}
