/** The serving form of a soft prompt for one serving graph: what a step needs, with nothing left to compute. */
import type { Digest } from '../digest.js'

export interface CompiledPrompt {
  readonly digest: Digest
  readonly virtualTokens: number
  /** Keys and values of the virtual tokens, [layers, k|v, KH, P, D]. */
  readonly prefix: Float32Array
  /** Rows that `hidden` is multiplied with, [labels, hidden]; null for generation. */
  readonly labels: Float32Array | null
}

export function bytesOf (prompt: CompiledPrompt): number {
  return prompt.prefix.byteLength + (prompt.labels?.byteLength ?? 0)
}
