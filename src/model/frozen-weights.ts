/** How the frozen weights of a Llama base lie on disk, as the graph builders read them. */
import type { ExternalTensor } from '../graph/external.js'

/** Float32 under Hugging Face names (`model.layers.0.self_attn.q_proj.weight`), linear weights [out, in]. @throws Error for a missing name */
export type PlainWeights = (name: string) => ExternalTensor

/** One linear of W8A8: `values` int8 [in, out], symmetric per output channel; `scale` float32 [out]. */
export interface QuantisedLinear { readonly values: ExternalTensor, readonly scale: ExternalTensor }

/**
 * The rotated, smoothed and quantised base (`design`: int8 recipe): norms carry no gain, `qkv` and `gateUp` are joined
 * along the output channels in that order, embedding and head are separate even when the source tied them.
 */
export interface QuantisedWeights {
  /** Float32 [vocabulary, hidden], rotated. */
  readonly embedding: ExternalTensor
  readonly layers: ReadonlyArray<{ readonly qkv: QuantisedLinear, readonly output: QuantisedLinear, readonly gateUp: QuantisedLinear, readonly down: QuantisedLinear }>
  readonly head: QuantisedLinear
}
