/**
 * The exact half of the int8 recipe: norm gains folded into the linears that read them, the residual stream rotated
 * (QuaRot, section 4; SliceGPT for the gains), the down projection smoothed. In exact arithmetic the model computes the
 * same function; tensors come out in the shapes that quantisation wants.
 */
import { LINEAR_GROUPS, headName, linearName } from './families/llama.js'
import { EMBEDDING } from './llama-tensors.js'
import { rotateRows } from './rotate.js'
import type { RotationPlan } from './rotate.js'
import { smoothingScales } from './smooth.js'
import type { WeightSource } from './weight-source.js'

export interface FoldedLayer {
  /** [out, hidden]: q, k, v one under another. */
  readonly qkv: Float32Array
  /** [heads · head size, hidden] */
  readonly output: Float32Array
  /** [out, hidden]: gate, then up. */
  readonly gateUp: Float32Array
  /** [intermediate, hidden] */
  readonly down: Float32Array
}

/** What is read of a source. */
export type PlainSource = Pick<WeightSource, 'config' | 'read'>

/** Rows e Q. */
export function foldedEmbedding (source: PlainSource, plan: RotationPlan): Float32Array {
  return rotateRows(source.read(EMBEDDING), source.config.hiddenSize, plan)
}

/** [vocabulary, hidden]: rows w diag(gain of the last norm) Q. */
export function foldedHead (source: PlainSource, plan: RotationPlan): Float32Array {
  const head = source.read(headName(source.config))
  scaleColumns(head, source.read('model.norm.weight'))
  return rotateRows(head, source.config.hiddenSize, plan)
}

/** `maxDownInput`: absolute maximum of each input channel of this layer's down projection over the calibration tokens. */
export function foldedLayer (source: PlainSource, plan: RotationPlan, layer: number, maxDownInput: Float32Array): FoldedLayer {
  const { hiddenSize } = source.config
  // Each reads a normed row of the residual stream: W diag(gain) Q.
  const reading = (group: 'qkv' | 'gateUp', norm: string): Float32Array => {
    const joined = concatenate(LINEAR_GROUPS[group].map(linear => source.read(linearName(layer, linear))))
    scaleColumns(joined, source.read(linearName(layer, norm)))
    return rotateRows(joined, hiddenSize, plan)
  }
  // Each writes to the residual stream: Qᵀ W, transposed to Wᵀ Q.
  const writing = (group: 'output' | 'down'): Float32Array =>
    rotateRows(transposed(source.read(linearName(layer, LINEAR_GROUPS[group][0])), hiddenSize), hiddenSize, plan)
  const qkv = reading('qkv', 'input_layernorm')
  const output = writing('output')
  const gateUp = reading('gateUp', 'post_attention_layernorm')
  const down = writing('down')
  const scales = smoothingScales(maxDownInput, rowMaxima(down, hiddenSize))
  scaleRows(down, scales)
  scaleRows(gateUp.subarray(gateUp.length / 2), scales.map(scale => 1 / scale))
  return { qkv, output, gateUp, down }
}

function concatenate (parts: readonly Float32Array[]): Float32Array {
  const joined = new Float32Array(parts.reduce((length, part) => length + part.length, 0))
  let at = 0
  for (const part of parts) {
    joined.set(part, at)
    at += part.length
  }
  return joined
}

function transposed (matrix: Float32Array, rows: number): Float32Array {
  const columns = matrix.length / rows
  const out = new Float32Array(matrix.length)
  for (let r = 0; r < rows; r++) {
    for (let c = 0; c < columns; c++) out[c * rows + r] = matrix[r * columns + c]!
  }
  return out
}

function scaleColumns (matrix: Float32Array, factors: Float32Array): void {
  for (let start = 0; start < matrix.length; start += factors.length) {
    for (let c = 0; c < factors.length; c++) matrix[start + c]! *= factors[c]!
  }
}

function scaleRows (matrix: Float32Array, factors: Float32Array): void {
  const columns = matrix.length / factors.length
  for (let r = 0; r < factors.length; r++) {
    for (let i = r * columns; i < (r + 1) * columns; i++) matrix[i]! *= factors[r]!
  }
}

function rowMaxima (matrix: Float32Array, columns: number): Float32Array {
  const maxima = new Float32Array(matrix.length / columns)
  for (let i = 0; i < matrix.length; i++) {
    const row = Math.floor(i / columns)
    maxima[row] = Math.max(maxima[row]!, Math.abs(matrix[i]!))
  }
  return maxima
}
