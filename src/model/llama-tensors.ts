import type { LlamaConfig } from './llama-config.js'

export interface TensorShape { readonly name: string, readonly shape: readonly number[] }

/** Linears and norms of one layer, by the part of the Hugging Face name between layer number and `.weight`. */
export function layerShapes (config: LlamaConfig): ReadonlyArray<readonly [part: string, shape: readonly number[]]> {
  const { hiddenSize, headSize, intermediateSize } = config
  const queries = config.numHeads * headSize
  const keys = config.numKvHeads * headSize
  return [
    ['input_layernorm', [hiddenSize]],
    ['self_attn.q_proj', [queries, hiddenSize]],
    ['self_attn.k_proj', [keys, hiddenSize]],
    ['self_attn.v_proj', [keys, hiddenSize]],
    ['self_attn.o_proj', [hiddenSize, queries]],
    ['post_attention_layernorm', [hiddenSize]],
    ['mlp.gate_proj', [intermediateSize, hiddenSize]],
    ['mlp.up_proj', [intermediateSize, hiddenSize]],
    ['mlp.down_proj', [hiddenSize, intermediateSize]]
  ]
}

/**
 * Every tensor of a Llama base, Hugging Face names, in the order of the stored file. One after another, because the
 * number of layers may be a lie of the file that the caller is checking.
 */
export function * llamaTensors (config: LlamaConfig): Generator<TensorShape> {
  const { vocabSize, hiddenSize } = config
  yield { name: EMBEDDING, shape: [vocabSize, hiddenSize] }
  const parts = layerShapes(config)
  for (let layer = 0; layer < config.numLayers; layer++) {
    for (const [part, shape] of parts) yield { name: `model.layers.${layer}.${part}.weight`, shape }
  }
  yield { name: 'model.norm.weight', shape: [hiddenSize] }
  if (!config.tiedEmbeddings) yield { name: HEAD, shape: [vocabSize, hiddenSize] }
}

export const EMBEDDING = 'model.embed_tokens.weight'
export const HEAD = 'lm_head.weight'
