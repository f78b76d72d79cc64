/** Graphs over one text, run a few times when a base is imported or a prompt is initialised. */
import { GraphBuilder } from '../../graph/builder.js'
import type { Value } from '../../graph/ir.js'
import { onnxBytes } from '../../graph/onnx.js'
import type { PlainWeights } from '../frozen-weights.js'
import type { LlamaConfig } from '../llama-config.js'
import { type LayerKeyValues, textAttention } from './forward-attention.js'
import { float32Weights } from './forward-weights.js'
import { llamaHidden } from './llama.js'
import { ForwardLlama } from './llama-forward.js'
import { rowsOf } from './rows.js'

export interface TextGraphOptions {
  readonly config: LlamaConfig
  readonly weights: PlainWeights
  /** Positions of the rotation table; defaults to the base's context length. */
  readonly maxPositions?: number
}

interface Observer { downInput? (x: Value, layer: number): void, keyValues? (keyValues: LayerKeyValues): void }

function traceText (b: GraphBuilder, { config, weights, maxPositions = config.contextLength }: TextGraphOptions, observe: Observer): void {
  const ids = b.unsqueeze(b.input('ids', 'int64', ['P']), 0)
  const frozen = float32Weights(b, config, weights)
  const attention = textAttention(b, config, maxPositions, ids, keyValues => observe.keyValues?.(keyValues))
  const ops = new ForwardLlama(b, config, frozen, attention, x => x, (x, layer) => observe.downInput?.(x, layer))
  llamaHidden(ops, config, rowsOf(b.squeeze(b.gather(frozen.embedding(), ids), 0)))
}

/** `ids` int64 [P] -> `down_input_max_l` float32 [intermediate] per layer: the largest |silu(gate)·up| of each channel. */
export function calibrationGraph (options: TextGraphOptions): Uint8Array {
  const b = new GraphBuilder('calibrate')
  traceText(b, options, {
    downInput: (x, layer) => b.output(b.op('ReduceMax', [b.op('Abs', [x], {}), b.integers(0)], { keepdims: 0 }), `down_input_max_${layer}`)
  })
  return onnxBytes(b.finish())
}

/** `ids` int64 [P] -> `prefix` float32 [P, layers·2·kvHeads·headSize]: the text's own keys (rotated) and values, laid out as PEFT's flat prefix. */
export function keyValueGraph (options: TextGraphOptions): Uint8Array {
  const b = new GraphBuilder('key_values')
  const parts: Value[] = []
  traceText(b, options, { keyValues: ({ keys, values }) => parts.push(keys, values) })
  b.output(b.op('Concat', parts, { axis: 1 }), 'prefix')
  return onnxBytes(b.finish())
}
