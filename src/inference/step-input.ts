/** A step of the schedule in the engine's numbers. */
import type { CompiledPrompt } from './compiled-prompt.js'
import type { PackInput, StepInput } from './engine/engine.js'
import type { Row } from './row.js'
import type { Schedulable, Step } from './scheduler.js'

export type WorkStep = Extract<Step<Row, Compilation>, { kind: 'compile' | 'prefill' | 'decode' | 'pack' }>
export type PackStep = Extract<WorkStep, { kind: 'pack' }>

/** A prefix that is being compiled. */
export interface Compilation extends Schedulable {
  /** What stands in front of `ids`. */
  readonly prompt: CompiledPrompt | null
  /** Vocabulary size + j: row j of `softTable`. */
  readonly ids: readonly number[]
  /** [N, hidden], in the graph's residual space. */
  readonly softTable?: Float32Array
  /** Positions of the scratch slot that are filled. */
  length: number
  readonly done: (prefix: Float32Array) => void
  readonly failed: (error: Error) => void
}

interface DecodeInput extends StepInput { readonly ids: Int32Array, readonly lengths: Int32Array }

/** Makes the inputs of the steps of one loop. Those of decode steps are made once for each number of rows, and filled again. */
export class StepInputs {
  readonly #slots: number
  /** Index = rows. */
  readonly #decoding: DecodeInput[] = []

  /** @param slots of sequences; the scratch slot is behind them */
  constructor (slots: number) {
    this.#slots = slots
  }

  /** Valid until the next call. Those in the step grow by the positions it fills. */
  of (step: Exclude<WorkStep, PackStep>, running: readonly Row[]): StepInput {
    switch (step.kind) {
      case 'compile': {
        const { item, tokens } = step
        const start = item.ids.length - item.remaining
        item.length += tokens
        const { softTable } = item
        return { firstSlot: this.#slots, rows: 1, ids: item.ids.slice(start, start + tokens), lengths: [item.length], hiddenRows: [], logitRows: [], ...(softTable === undefined ? {} : { softTable }) }
      }
      case 'prefill': {
        const { item, slot, tokens } = step
        item.length += tokens
        const last = item.remaining === tokens
        return { firstSlot: slot, rows: 1, ids: item.inputChunk(tokens), lengths: [item.length], hiddenRows: last ? [tokens - 1] : [], logitRows: last && item.generates ? [0] : [] }
      }
      case 'decode': {
        const input = this.#decoding[step.rows] ??= decodeInput(step.rows)
        for (let slot = 0; slot < step.rows; slot++) {
          const row = running[slot]!
          input.ids[slot] = row.lastToken
          input.lengths[slot] = ++row.length
        }
        return input
      }
    }
  }
}

/** As `StepInputs.of`. */
export function packInput ({ items, slot }: PackStep): PackInput {
  const inputs = items.map(item => item.inputChunk(item.remaining))
  for (const item of items) item.length += item.remaining
  return { firstSlot: slot, inputs, lengths: items.map(({ length }) => length), logitRows: [...items.keys()].filter(row => items[row]!.generates) }
}

function decodeInput (rows: number): DecodeInput {
  const every = Int32Array.from({ length: rows }, (_, index) => index)
  return { firstSlot: 0, rows, ids: new Int32Array(rows), lengths: new Int32Array(rows), hiddenRows: every, logitRows: every }
}
