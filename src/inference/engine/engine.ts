/**
 * What the inference process needs from ONNX Runtime: one step of the serving graph over consecutive slots of the KV
 * arena. Two implementations, one contract suite (`test/inference/engine/`): `c-api.ts` and `stock.ts`.
 */
import { LANES } from '../../graph/serving-contract.js'
import type { LlamaConfig } from '../../model/llama-config.js'
import type { Arena } from '../arena.js'

export const ENGINE_KINDS = ['c-api', 'stock'] as const
export type EngineKind = typeof ENGINE_KINDS[number]

export interface EngineOptions {
  /** The serving graph; its external data lies beside it. */
  readonly file: string
  /** The lanes graph of the same weights, beside it; absent: no packs. */
  readonly lanesFile?: string
  readonly config: LlamaConfig
  /** Rows of the arena. */
  readonly slots: number
  /** T: positions of one slot. */
  readonly positions: number
  /** Intra-op threads, at least 1. */
  readonly threads: number
  /** Most rows of `hidden` one step may ask for; default: one for each slot. */
  readonly maxHiddenRows?: number
}

/** B rows in slots firstSlot .. firstSlot+B-1, S new tokens for each; names as in `graph/serving-contract.ts`. */
export interface StepInput {
  readonly firstSlot: number
  /** B */
  readonly rows: number
  /** [B,S], row-major; vocabulary size + j reads row j of `softTable`. */
  readonly ids: ArrayLike<number>
  /** [B]: length of each row after this step. */
  readonly lengths: ArrayLike<number>
  /** Flat rows b*S+s that pass the last norm. */
  readonly hiddenRows: ArrayLike<number>
  /** Indices into `hiddenRows` that also pass the head. */
  readonly logitRows: ArrayLike<number>
  /** [N,hidden]; absent: no virtual tokens among the ids. */
  readonly softTable?: Float32Array
}

/** Up to `LANES` inputs, none without tokens, input j in slot firstSlot+j. */
export interface PackInput {
  readonly firstSlot: number
  /** The new tokens of each, from the vocabulary. */
  readonly inputs: ReadonlyArray<readonly number[]>
  /** Length of each row after this step. */
  readonly lengths: readonly number[]
  /** Of the last tokens, which all pass the last norm, those of these inputs also pass the head. */
  readonly logitRows: readonly number[]
}

/** Views that are valid until the next step; the same objects may come again with other numbers in them. */
export interface StepOutput {
  /** [hiddenRows.length, hidden] */
  readonly hidden: Float32Array
  /** [logitRows.length, vocabulary] */
  readonly logits: Float32Array
}

export interface Engine {
  readonly kind: EngineKind
  readonly arena: Arena
  /**
   * Runs one step; only positions length-S .. length-1 of the rows' own slots change in the arena. One step at a time.
   * @throws Error for a step that does not fit the arena, before anything runs; for a failure inside ONNX Runtime.
   * After either the engine goes on.
   */
  step (input: StepInput): Promise<StepOutput>
  /**
   * As `step` for each of several inputs, to the bit, in one run; `hidden` and `logits` are those of their last tokens.
   * Null: this engine has no lanes graph.
   */
  readonly pack: ((input: PackInput) => Promise<StepOutput>) | null
  /**
   * Slots from .. to-1, which no step under way uses, hold nothing of worth: what memory of theirs can go back to the
   * system does. They take it again when they are used.
   */
  giveBack (from: number, to: number): void
  /** Waits for a step under way, then frees sessions and memory. Views of outputs and arena are dead afterwards. */
  close (): Promise<void>
}

/**
 * Kernels get raw pointers, so a step that does not fit would silently change another row's memory: every index is
 * checked here, once for both engines. Returns S.
 */
export function checkStep (input: StepInput, options: EngineOptions): number {
  const { firstSlot, rows, ids, lengths, hiddenRows, logitRows, softTable } = input
  const { slots, positions, config } = options
  const length = ids.length / rows
  need(Number.isInteger(rows) && rows >= 1 && Number.isInteger(firstSlot) && firstSlot >= 0 && firstSlot + rows <= slots, () => `slots ${firstSlot} to ${firstSlot + rows - 1} of ${slots}`)
  need(Number.isInteger(length) && length >= 1 && (rows === 1 || length === 1), () => `${ids.length} ids for ${rows} rows`)
  need(lengths.length === rows, () => `${lengths.length} lengths for ${rows} rows`)
  for (let row = 0; row < rows; row++) {
    need(Number.isInteger(lengths[row]) && lengths[row]! >= length && lengths[row]! <= positions, () => `length ${lengths[row]} with ${length} new tokens in a slot of ${positions}`)
  }
  if (softTable !== undefined) need(softTable.length > 0 && softTable.length % config.hiddenSize === 0, () => `a soft table of ${softTable.length} numbers, width ${config.hiddenSize}`)
  const ceiling = config.vocabSize + (softTable === undefined ? 0 : softTable.length / config.hiddenSize)
  for (let i = 0; i < ids.length; i++) need(Number.isInteger(ids[i]) && ids[i]! >= 0 && ids[i]! < ceiling, () => `token id ${ids[i]}, limit ${ceiling}`)
  need(hiddenRows.length <= maxHiddenRows(options), () => `${hiddenRows.length} hidden rows, limit ${maxHiddenRows(options)}`)
  for (let i = 0; i < hiddenRows.length; i++) need(Number.isInteger(hiddenRows[i]) && hiddenRows[i]! >= 0 && hiddenRows[i]! < ids.length, () => `hidden row ${hiddenRows[i]} of ${ids.length}`)
  need(logitRows.length <= hiddenRows.length, () => `${logitRows.length} logit rows of ${hiddenRows.length} hidden rows`)
  for (let i = 0; i < logitRows.length; i++) need(Number.isInteger(logitRows[i]) && logitRows[i]! >= 0 && logitRows[i]! < hiddenRows.length, () => `logit row ${logitRows[i]} of ${hiddenRows.length}`)
  return length
}

/** As `checkStep`. */
export function checkPack ({ firstSlot, inputs, lengths, logitRows }: PackInput, { slots, positions, config }: EngineOptions): void {
  const rows = inputs.length
  need(rows >= 1 && rows <= LANES, () => `${rows} inputs in ${LANES} lanes`)
  need(Number.isInteger(firstSlot) && firstSlot >= 0 && firstSlot + rows <= slots, () => `slots ${firstSlot} to ${firstSlot + rows - 1} of ${slots}`)
  need(lengths.length === rows, () => `${lengths.length} lengths for ${rows} inputs`)
  for (const [row, ids] of inputs.entries()) {
    const length = lengths[row]!
    need(ids.length >= 1 && Number.isInteger(length) && length >= ids.length && length <= positions, () => `length ${length} with ${ids.length} new tokens in a slot of ${positions}`)
    for (const id of ids) need(Number.isInteger(id) && id >= 0 && id < config.vocabSize, () => `token id ${id}, limit ${config.vocabSize}`)
  }
  need(logitRows.length <= rows, () => `${logitRows.length} logit rows of ${rows} inputs`)
  for (const row of logitRows) need(Number.isInteger(row) && row >= 0 && row < rows, () => `logit row ${row} of ${rows}`)
}

export function maxHiddenRows (options: EngineOptions): number {
  return options.maxHiddenRows ?? options.slots
}

function need (holds: boolean, what: () => string): void {
  if (!holds) throw new Error(`internal: the step asks for ${what()}`)
}
