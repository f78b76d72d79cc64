/**
 * Blocks of GGUF to float32, as ggml-quants.c defines them (dequantize_row_*). A scale times a quant is exact in double
 * precision and so is the sum with a minimum, so storing the result as float32 rounds once, like ggml's own code.
 */
import { float16Values, widen } from './float-formats.js'
import { GGML_LAYOUTS } from './ggml-types.js'
import type { GgmlType } from './ggml-types.js'

/** Writes the values of the block at `at` to `y` from `to` on. */
type Block = (bytes: Uint8Array, at: number, half: Float32Array, y: Float32Array, to: number) => void
type QuantisedType = Exclude<GgmlType, 'F32' | 'F16' | 'BF16'>

/** `bytes` holds whole blocks of `type`. */
export function dequantise (bytes: Uint8Array, type: GgmlType): Float32Array {
  if (type === 'F32' || type === 'F16' || type === 'BF16') return widen(bytes, type)
  const { blockValues, blockBytes } = GGML_LAYOUTS[type]
  const blocks = bytes.length / blockBytes
  const values = new Float32Array(blocks * blockValues)
  const half = float16Values()
  const block = BLOCKS[type]
  for (let b = 0; b < blocks; b++) block(bytes, b * blockBytes, half, values, b * blockValues)
  return values
}

function scaleAt (b: Uint8Array, at: number, half: Float32Array): number {
  return half[b[at]! | b[at + 1]! << 8]!
}

function signed (byte: number): number {
  return byte << 24 >> 24
}

/** The fifth bits of a Q5_0 or Q5_1 block, bit j for value j. */
function highBits (b: Uint8Array, at: number): number {
  return b[at]! | b[at + 1]! << 8 | b[at + 2]! << 16 | b[at + 3]! << 24
}

/** Scale (low 6 bits) and minimum (next 6 bits) of sub-block `j` of 8, packed in 12 bytes. */
function scaleAndMin (b: Uint8Array, at: number, j: number): number {
  if (j < 4) return b[at + j]! & 63 | (b[at + j + 4]! & 63) << 6
  const low = b[at + j + 4]!
  return low & 15 | b[at + j - 4]! >> 6 << 4 | (low >> 4 | b[at + j]! >> 6 << 4) << 6
}

/** 8 sub-blocks of 32 nibbles from `quantsAt` on, each with a scale and a minimum; `upper` gives the bits above a nibble. */
function nibblesAboveMinima (b: Uint8Array, at: number, half: Float32Array, y: Float32Array, to: number, quantsAt: number, upper: (sub: number, l: number) => number): void {
  const d = scaleAt(b, at, half)
  const dmin = scaleAt(b, at + 2, half)
  for (let sub = 0; sub < 8; sub++) {
    const packed = scaleAndMin(b, at + 4, sub)
    const scale = d * (packed & 63)
    const min = dmin * (packed >> 6)
    const quants = quantsAt + (sub >> 1) * 32
    const shift = (sub & 1) * 4
    for (let l = 0; l < 32; l++) y[to + sub * 32 + l] = scale * (b[quants + l]! >> shift & 15 | upper(sub, l)) - min
  }
}

const BLOCKS: { readonly [T in QuantisedType]: Block } = {
  // d, 32 signed bytes
  Q8_0: (b, at, half, y, to) => {
    const d = scaleAt(b, at, half)
    for (let j = 0; j < 32; j++) y[to + j] = d * signed(b[at + 2 + j]!)
  },
  // d, 16 bytes of two quants: low nibbles are the first half
  Q4_0: (b, at, half, y, to) => {
    const d = scaleAt(b, at, half)
    for (let j = 0; j < 16; j++) {
      const q = b[at + 2 + j]!
      y[to + j] = d * ((q & 15) - 8)
      y[to + j + 16] = d * ((q >> 4) - 8)
    }
  },
  // d, minimum, 16 bytes
  Q4_1: (b, at, half, y, to) => {
    const d = scaleAt(b, at, half)
    const m = scaleAt(b, at + 2, half)
    for (let j = 0; j < 16; j++) {
      const q = b[at + 4 + j]!
      y[to + j] = d * (q & 15) + m
      y[to + j + 16] = d * (q >> 4) + m
    }
  },
  // d, 4 bytes of fifth bits, 16 bytes
  Q5_0: (b, at, half, y, to) => {
    const d = scaleAt(b, at, half)
    const high = highBits(b, at + 2)
    for (let j = 0; j < 16; j++) {
      const q = b[at + 6 + j]!
      y[to + j] = d * ((q & 15 | (high >>> j & 1) << 4) - 16)
      y[to + j + 16] = d * ((q >> 4 | (high >>> j + 16 & 1) << 4) - 16)
    }
  },
  // d, minimum, 4 bytes of fifth bits, 16 bytes
  Q5_1: (b, at, half, y, to) => {
    const d = scaleAt(b, at, half)
    const m = scaleAt(b, at + 2, half)
    const high = highBits(b, at + 4)
    for (let j = 0; j < 16; j++) {
      const q = b[at + 8 + j]!
      y[to + j] = d * (q & 15 | (high >>> j & 1) << 4) + m
      y[to + j + 16] = d * (q >> 4 | (high >>> j + 16 & 1) << 4) + m
    }
  },
  // 16 bytes of scale and minimum (4 bits each), 64 bytes of four quants, d, dmin
  Q2_K: (b, at, half, y, to) => {
    const d = scaleAt(b, at + 80, half)
    const dmin = scaleAt(b, at + 82, half)
    for (let sub = 0; sub < 16; sub++) {
      const scale = d * (b[at + sub]! & 15)
      const min = dmin * (b[at + sub]! >> 4)
      const quants = at + 16 + (sub >> 3) * 32 + (sub & 1) * 16
      const shift = (sub >> 1 & 3) * 2
      for (let l = 0; l < 16; l++) y[to + sub * 16 + l] = scale * (b[quants + l]! >> shift & 3) - min
    }
  },
  // 32 bytes of third bits (0 means minus 4), 64 bytes of four quants, 12 bytes of 16 six-bit scales, d
  Q3_K: (b, at, half, y, to) => {
    const d = scaleAt(b, at + 108, half)
    const scales = at + 96
    for (let sub = 0; sub < 16; sub++) {
      const low = sub < 8 ? b[scales + sub]! & 15 : b[scales + sub - 8]! >> 4
      const scale = d * ((low | (b[scales + 8 + (sub & 3)]! >> (sub >> 2) * 2 & 3) << 4) - 32)
      const part = (sub & 1) * 16
      const quants = at + 32 + (sub >> 3) * 32 + part
      const shift = (sub >> 1 & 3) * 2
      for (let l = 0; l < 16; l++) {
        const high = b[at + part + l]! >> (sub >> 1) & 1
        y[to + sub * 16 + l] = scale * ((b[quants + l]! >> shift & 3) - (high ? 0 : 4))
      }
    }
  },
  // d, dmin, 12 bytes of 8 scales and minima, 128 bytes of two quants
  Q4_K: (b, at, half, y, to) => { nibblesAboveMinima(b, at, half, y, to, at + 16, () => 0) },
  // d, dmin, 12 bytes of 8 scales and minima, 32 bytes of fifth bits, 128 bytes of two quants
  Q5_K: (b, at, half, y, to) => { nibblesAboveMinima(b, at, half, y, to, at + 48, (sub, l) => (b[at + 16 + l]! >> sub & 1) << 4) },
  // 128 bytes of low nibbles, 64 bytes of four upper bit pairs, 16 signed scales, d
  Q6_K: (b, at, half, y, to) => {
    const d = scaleAt(b, at + 208, half)
    for (let sub = 0; sub < 16; sub++) {
      const scale = d * signed(b[at + 192 + sub]!)
      const group = sub >> 1 & 3
      const part = (sub & 1) * 16
      const low = at + (sub >> 3) * 64 + (group & 1) * 32 + part
      const high = at + 128 + (sub >> 3) * 32 + part
      const lowShift = (group >> 1) * 4
      for (let l = 0; l < 16; l++) {
        const q = (b[low + l]! >> lowShift & 15 | (b[high + l]! >> group * 2 & 3) << 4) - 32
        y[to + sub * 16 + l] = scale * q
      }
    }
  }
}
