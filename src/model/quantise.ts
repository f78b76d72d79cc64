/** Float32 matrices to W8A8's weights: int8 [in, out], symmetric, one scale for each output channel. */
const MAX_QUANT = 127
// Columns that are transposed at a time, so that both sides stay in the cache.
const BLOCK = 64

export interface Int8Matrix { readonly values: Int8Array, readonly scale: Float32Array }

/** From [out, in], as Hugging Face stores linears. */
export function quantiseRows (weights: Float32Array, outputs: number): Int8Matrix {
  const inputs = weights.length / outputs
  const scale = new Float32Array(outputs)
  const values = new Int8Array(weights.length)
  const inverse = new Float64Array(outputs)
  for (let o = 0; o < outputs; o++) {
    let max = 0
    for (let i = o * inputs; i < (o + 1) * inputs; i++) max = Math.max(max, Math.abs(weights[i]!))
    scale[o] = max / MAX_QUANT
    inverse[o] = inverseOf(scale[o]!)
  }
  for (let first = 0; first < outputs; first += BLOCK) {
    const last = Math.min(first + BLOCK, outputs)
    for (let i = 0; i < inputs; i++) {
      for (let o = first; o < last; o++) values[i * outputs + o] = rounded(weights[o * inputs + i]! * inverse[o]!)
    }
  }
  return { values, scale }
}

/** From [in, out]. */
export function quantiseColumns (weights: Float32Array, outputs: number): Int8Matrix {
  const max = new Float32Array(outputs)
  for (let start = 0; start < weights.length; start += outputs) {
    for (let o = 0; o < outputs; o++) {
      const size = Math.abs(weights[start + o]!)
      if (size > max[o]!) max[o] = size
    }
  }
  const scale = max.map(size => size / MAX_QUANT)
  const inverse = Float64Array.from(scale, inverseOf)
  const values = new Int8Array(weights.length)
  for (let start = 0; start < weights.length; start += outputs) {
    for (let o = 0; o < outputs; o++) values[start + o] = rounded(weights[start + o]! * inverse[o]!)
  }
  return { values, scale }
}

/** A channel without weights stays zero. */
function inverseOf (scale: number): number {
  return scale === 0 ? 0 : 1 / scale
}

/** To the nearest integer, halves to even, within the symmetric range (a scale in the subnormals may round past it). */
function rounded (value: number): number {
  // Doubles this large have no fraction bits left.
  const integer = (value + 6755399441055744) - 6755399441055744
  return integer > MAX_QUANT ? MAX_QUANT : integer < -MAX_QUANT ? -MAX_QUANT : integer
}
