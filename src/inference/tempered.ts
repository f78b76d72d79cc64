import { exponential } from './exponential.js'

/** The scores of one position, to be drawn from. */
export interface Tempered {
  /** [vocabulary]; -Infinity: excluded */
  readonly logits: Float32Array
  /** Of the logits. */
  readonly highest: number
  readonly temperature: number
}

/** Likelihood of a token over that of the most likely one. */
export function weightOf ({ logits, highest, temperature }: Tempered, id: number): number {
  return exponential((logits[id]! - highest) / temperature)
}
