import type { LlamaConfig } from '../llama-config.js'

/** Row-major [positions, headSize / 2]. */
export interface RopeTables { readonly cos: Float32Array, readonly sin: Float32Array }

/** Angles are rounded to float32 as Hugging Face rounds them (a float32 position times a float32 frequency), sine and cosine once more. */
export function ropeTables ({ ropeInverseFrequencies }: LlamaConfig, positions: number): RopeTables {
  const half = ropeInverseFrequencies.length
  const cos = new Float32Array(positions * half)
  const sin = new Float32Array(positions * half)
  for (let position = 0; position < positions; position++) {
    for (const [i, frequency] of ropeInverseFrequencies.entries()) {
      const angle = Math.fround(position * Math.fround(frequency))
      cos[position * half + i] = Math.cos(angle)
      sin[position * half + i] = Math.sin(angle)
    }
  }
  return { cos, sin }
}
