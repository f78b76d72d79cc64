/** A step of the schedule in the engine's numbers. */
import type { CompiledPrompt } from './compiled-prompt.js'
import type { StepInput } from './engine/engine.js'
import type { Row } from './row.js'
import type { Schedulable, Step } from './scheduler.js'

export type WorkStep = Exclude<Step<Row, Compilation>, { kind: 'idle' }>

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

/** Those in the step grow by the positions it fills. @param slots of sequences; the scratch slot is behind them */
export function inputOf (step: WorkStep, running: readonly Row[], slots: number): StepInput {
  switch (step.kind) {
    case 'compile': {
      const { item, tokens } = step
      const start = item.ids.length - item.remaining
      item.length += tokens
      const { softTable } = item
      return { firstSlot: slots, rows: 1, ids: item.ids.slice(start, start + tokens), lengths: [item.length], hiddenRows: [], logitRows: [], ...(softTable === undefined ? {} : { softTable }) }
    }
    case 'prefill': {
      const { item, slot, tokens } = step
      item.length += tokens
      const last = item.remaining === tokens
      return { firstSlot: slot, rows: 1, ids: item.inputChunk(tokens), lengths: [item.length], hiddenRows: last ? [tokens - 1] : [], logitRows: last && item.generates ? [0] : [] }
    }
    case 'decode': {
      const rows = running.slice(0, step.rows)
      for (const row of rows) row.length++
      const every = rows.map((_, index) => index)
      return { firstSlot: 0, rows: step.rows, ids: rows.map(row => row.lastToken), lengths: rows.map(row => row.length), hiddenRows: every, logitRows: every }
    }
  }
}
