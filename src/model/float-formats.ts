/** Half-precision numbers, widened to float32 bit for bit (subnormals, signed zeros, infinities and NaN included). */

let halfTable: Float32Array | null = null

/** Value of every float16 by its 16 bits; built at first use (256 KiB). */
export function float16Values (): Float32Array {
  if (halfTable !== null) return halfTable
  const table = new Float32Array(65_536)
  for (let bits = 0; bits < 65_536; bits++) {
    const sign = bits & 0x8000 ? -1 : 1
    const exponent = bits >> 10 & 31
    const fraction = bits & 1023
    table[bits] = exponent === 31
      ? (fraction === 0 ? sign * Infinity : NaN)
      : sign * (exponent === 0 ? fraction * 2 ** -24 : (1024 + fraction) * 2 ** (exponent - 25))
  }
  halfTable = table
  return table
}

/** The stored number formats of weights that are widened here. */
export const FLOAT_FORMATS = ['F32', 'F16', 'BF16'] as const
export type FloatFormat = typeof FLOAT_FORMATS[number]

/** Little-endian values of `format` as float32. Does not copy float32 that is aligned. */
export function widen (bytes: Uint8Array, format: FloatFormat): Float32Array {
  if (format === 'F32') {
    return bytes.byteOffset % 4 === 0
      ? new Float32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 4)
      : new Float32Array(bytes.slice().buffer)
  }
  const aligned = bytes.byteOffset % 2 === 0 ? bytes : bytes.slice()
  const bits = new Uint16Array(aligned.buffer, aligned.byteOffset, aligned.byteLength / 2)
  const values = new Float32Array(bits.length)
  if (format === 'F16') {
    const table = float16Values()
    for (let i = 0; i < bits.length; i++) values[i] = table[bits[i]!]!
    return values
  }
  // A bfloat16 is the upper half of a float32.
  const words = new Uint32Array(values.buffer)
  for (let i = 0; i < bits.length; i++) words[i] = bits[i]! << 16
  return values
}

/** Index of the first value that is NaN or infinite, or -1. */
export function firstNonFinite (values: Float32Array): number {
  const words = new Uint32Array(values.buffer, values.byteOffset, values.length)
  for (let i = 0; i < words.length; i++) if ((words[i]! & 0x7f80_0000) === 0x7f80_0000) return i
  return -1
}

/** What is wrong with `values` from `first` on: `2 values that are not finite (NaN at index 5)`. */
export function nonFiniteReport (values: Float32Array, first: number): string {
  let count = 0
  for (const value of values) if (!Number.isFinite(value)) count++
  return `${count} ${count === 1 ? 'value that is' : 'values that are'} not finite (${values[first]} at index ${first})`
}
