import { GraphBuilder } from '../../graph/builder.js'
import type { Value } from '../../graph/ir.js'
import { onnxBytes } from '../../graph/onnx.js'
import type { PlainWeights, QuantisedWeights } from '../frozen-weights.js'
import type { LlamaConfig } from '../llama-config.js'
import { cacheInputs, fusedAttention, laneAttention, laneInputs, plainAttention } from './forward-attention.js'
import { float32Weights, w8a8Weights } from './forward-weights.js'
import { llamaHidden } from './llama.js'
import { ForwardLlama } from './llama-forward.js'
import { rowsOf, settled } from './rows.js'

export type ServingGraphOptions = {
  readonly config: LlamaConfig
  /** `fused` wants a head size that is a multiple of 16. */
  readonly attention: 'fused' | 'plain'
  /** Positions of the rotation table: the longest a slot may be. */
  readonly maxPositions: number
} & ({ readonly format: 'float32', readonly weights: PlainWeights } | { readonly format: 'w8a8', readonly weights: QuantisedWeights })

/** Ids below the vocabulary read the embedding, the others the soft table. Both gathers run for every id, so both clamp. */
function embedded (b: GraphBuilder, ids: Value, embedding: Value, softTable: Value): Value {
  const vocabulary = b.integer(embedding.shape[0] as number)
  const zero = b.integer(0)
  const isToken = b.op('Less', [ids, vocabulary], {})
  const tokenRows = b.gather(embedding, b.op('Where', [isToken, ids, zero], {}))
  const softRows = b.gather(softTable, b.op('Where', [isToken, zero, b.sub(ids, vocabulary)], {}))
  return b.op('Where', [b.unsqueeze(isToken, -1), tokenRows, softRows], {})
}

/** ONNX bytes with the inputs and outputs of `graph/serving-contract.ts`. */
export function servingGraph (options: ServingGraphOptions): Uint8Array {
  const { config, maxPositions } = options
  if (options.attention === 'fused' && config.headSize % 16 !== 0) throw new Error(`internal: fused attention of head size ${config.headSize}, which is no multiple of 16`)
  const b = new GraphBuilder(`serve_${options.format}`)
  const ids = b.input('input_ids', 'int64', ['B', 'S'])
  const softTable = b.input('soft_table', 'float32', ['soft_rows', config.hiddenSize])
  const cache = cacheInputs(b, config, ids)
  const hiddenRows = b.input('hidden_rows', 'int64', ['R'])
  const logitRows = b.input('logit_rows', 'int64', ['N'])

  const weights = options.format === 'float32' ? float32Weights(b, config, options.weights) : w8a8Weights(b, config, options.weights)
  const attention = (options.attention === 'fused' ? fusedAttention : plainAttention)(b, config, maxPositions, cache)
  const ops = new ForwardLlama(b, config, weights, attention, x => b.gather(x, hiddenRows))

  const embeddings = embedded(b, ids, weights.embedding(), softTable)
  const stream = b.reshape(embeddings, ['B*S', config.hiddenSize], b.integers(-1, config.hiddenSize))
  const hidden = settled(b, llamaHidden(ops, config, rowsOf(stream)))
  b.output(hidden, 'hidden')
  b.output(weights.head(b.gather(hidden, logitRows)), 'logits')
  return onnxBytes(b.finish())
}

/** ONNX bytes of the lanes graph of `graph/serving-contract.ts`: W8A8 with fused attention, and a row of it has the bits of the serving graph. */
export function lanesGraph (config: LlamaConfig, maxPositions: number, quantised: QuantisedWeights): Uint8Array {
  const b = new GraphBuilder('serve_w8a8_lanes')
  const ids = b.input('input_ids', 'int64', ['S'])
  const hiddenRows = b.input('hidden_rows', 'int64', ['R'])
  const logitRows = b.input('logit_rows', 'int64', ['N'])
  const weights = w8a8Weights(b, config, quantised)
  const ops = new ForwardLlama(b, config, weights, laneAttention(b, config, maxPositions, laneInputs(b, config)), x => b.gather(x, hiddenRows))
  const hidden = settled(b, llamaHidden(ops, config, rowsOf(b.gather(weights.embedding(), ids))))
  b.output(hidden, 'hidden')
  b.output(weights.head(b.gather(hidden, logitRows)), 'logits')
  return onnxBytes(b.finish())
}
