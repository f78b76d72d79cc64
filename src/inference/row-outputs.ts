/** The output of a step row by row. */
import type { StepOutput } from './engine/engine.js'

/** [hidden] and [vocabulary] of one row, valid as long as the output. */
export interface RowOutput { readonly hidden: Float32Array, readonly logits: Float32Array }

/** An engine that gives the same output again gets the same views: one costs more than the largest of its scores. */
export class RowOutputs {
  readonly #known = new WeakMap<StepOutput, readonly RowOutput[]>()

  /** @param rows of `hidden` and of `logits` */
  of (output: StepOutput, rows: number): readonly RowOutput[] {
    const known = this.#known.get(output)
    if (known !== undefined) return known
    const hiddenSize = output.hidden.length / rows
    const vocabSize = output.logits.length / rows
    const views = Array.from({ length: rows }, (_, row) => ({
      hidden: output.hidden.subarray(row * hiddenSize, (row + 1) * hiddenSize),
      logits: output.logits.subarray(row * vocabSize, (row + 1) * vocabSize)
    }))
    this.#known.set(output, views)
    return views
  }
}

/** The same of a pack. @param generates of each row, whether it has logits */
export function packOutputs ({ hidden, logits }: StepOutput, generates: readonly boolean[]): RowOutput[] {
  const hiddenSize = hidden.length / generates.length
  const vocabSize = logits.length / Math.max(1, generates.filter(Boolean).length)
  let logitRow = 0
  return generates.map((has, row) => ({
    hidden: hidden.subarray(row * hiddenSize, (row + 1) * hiddenSize),
    logits: has ? logits.subarray(logitRow * vocabSize, ++logitRow * vocabSize) : logits.subarray(0, 0)
  }))
}
