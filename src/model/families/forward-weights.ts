import type { GraphBuilder } from '../../graph/builder.js'
import type { Dim } from '../../graph/dims.js'
import type { Value } from '../../graph/ir.js'
import type { PlainWeights, QuantisedLinear, QuantisedWeights } from '../frozen-weights.js'
import type { LlamaConfig } from '../llama-config.js'
import { EMBEDDING } from '../llama-tensors.js'
import { LINEAR_GROUPS, type LinearGroup, headName, linearName } from './llama.js'
import type { ForwardWeights } from './llama-forward.js'
import { type Rows, partsOf, rowsOf, settled, unscaled } from './rows.js'

/** Float32 straight out of the safetensors file. */
export function float32Weights (b: GraphBuilder, config: LlamaConfig, weights: PlainWeights): ForwardWeights {
  const weight = (name: string): Value => b.external(name, weights(name))
  const linear = (x: Value, name: string): Value => b.op('Gemm', [x, weight(name)], { transB: 1 })
  return {
    embedding: () => weight(EMBEDDING),
    gain: weight,
    project: (x, group, layer) => LINEAR_GROUPS[group].map(name => rowsOf(linear(settled(b, x), linearName(layer, name)))),
    head: hidden => linear(hidden, headName(config))
  }
}

/**
 * W8A8: int8 weights per output channel, activations per row as unsigned 8 bits around 128 (the pair with a fast kernel).
 * A row's scale is its own maximum, so no row depends on another.
 */
export function w8a8Weights (b: GraphBuilder, { numHeads, numKvHeads, headSize, hiddenSize, intermediateSize }: LlamaConfig, weights: QuantisedWeights): ForwardWeights {
  const ZERO_POINT = 128
  const step = b.scalar(1 / 127)
  const zeroPoint = b.constant('uint8', [], Uint8Array.of(ZERO_POINT))
  const zeroPoints = new Map<Dim, Value>()
  const zeroPointPerRow = (x: Value): Value => {
    const rows = x.shape[0]!
    const known = zeroPoints.get(rows) ?? b.op('ConstantOfShape', [b.op('Shape', [x], { start: 0, end: 1 })], { value: { dtype: 'uint8', value: ZERO_POINT } }, { shape: [rows] })
    zeroPoints.set(rows, known)
    return known
  }

  /** The product without the rows' scale, and that scale [M,1]. */
  const linear = (rows: Rows, name: string, { values, scale }: QuantisedLinear): { product: Value, scale: Value } => {
    const x = unscaled(b, rows)
    // Reshaped, not squeezed: of no rows at all, the kernel's maximum keeps the columns.
    const largest = b.reshape(b.op('ReduceMax', [b.op('Abs', [x], {}), b.integers(-1)], { keepdims: 1 }), [x.shape[0]!])
    // A row of zeros has no largest entry to divide by.
    const range = b.op('Max', [largest, b.scalar(1e-30)], {})
    const quantised = b.op('QuantizeLinear', [x, b.mul(range, step), zeroPointPerRow(x)], { axis: 0 })
    const product = b.op('MatMulIntegerToFloat', [quantised, b.external(`${name}.values`, values), step, b.external(`${name}.scale`, scale), zeroPoint], {})
    const column = b.unsqueeze(range, 1)
    return { product, scale: rows.scale === null ? column : b.mul(column, rows.scale) }
  }

  const widths: Readonly<Record<LinearGroup, readonly number[]>> = {
    qkv: [numHeads * headSize, numKvHeads * headSize, numKvHeads * headSize],
    output: [hiddenSize],
    gateUp: [intermediateSize, intermediateSize],
    down: [hiddenSize]
  }
  const ones = b.constant('float32', [hiddenSize], new Float32Array(hiddenSize).fill(1))
  return {
    embedding: () => b.external('embedding', weights.embedding),
    // Gains are folded into the linears that read the norm.
    gain: () => ones,
    project: (x, group, layer) => {
      const { product, scale } = linear(x, `layers.${layer}.${group}`, weights.layers[layer]![group])
      return partsOf(product, widths[group], scale)
    },
    head: hidden => {
      const { product, scale } = linear(rowsOf(hidden), 'head', weights.head)
      return b.mul(product, scale)
    }
  }
}
