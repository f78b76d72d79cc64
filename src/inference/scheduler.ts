/**
 * Which step comes next: plain data and functions over it, without a model, a clock or I/O. Rows 0 .. n-1 are the slots
 * in use; rows that decode come first, at most one row still takes its input in and is the last.
 */
import { ServiceError } from '../errors.js'

/**
 * Tokens of one prefill step: long enough for the best rate, short enough that decoding rows wait for 0.2 s at most on
 * the default base.
 */
export const MAX_CHUNK = 256

/** What the scheduler knows of a sequence, or of a prompt that is being compiled. */
export interface Schedulable {
  /** Order of arrival: smaller is served first. */
  readonly arrival: number
  /** Input tokens that have not been run yet. */
  remaining: number
}

export interface Schedule<S extends Schedulable, C extends Schedulable> {
  /** Rows that can be in use at once. */
  readonly slots: number
  /** Sequences that may wait before new ones are refused. */
  readonly maxWaiting: number
  /** By arrival. */
  readonly waiting: S[]
  /** By arrival; they run in a scratch slot of their own. */
  readonly compilations: C[]
  /** Index = slot. */
  readonly rows: S[]
  /** Whose turn it is when rows decode while others wait to be taken in. */
  turn: 'take-in' | 'decode'
}

export type Step<S, C> =
  | { readonly kind: 'compile', readonly item: C, readonly tokens: number }
  | { readonly kind: 'prefill', readonly item: S, readonly slot: number, readonly tokens: number }
  /** One token for each of rows 0 .. rows-1. */
  | { readonly kind: 'decode', readonly rows: number }
  | { readonly kind: 'idle' }

/** A slot's contents go from one slot to another. */
export interface Move<S> { readonly item: S, readonly from: number, readonly to: number }

export function newSchedule<S extends Schedulable, C extends Schedulable> (slots: number, maxWaiting: number): Schedule<S, C> {
  return { slots, maxWaiting, waiting: [], compilations: [], rows: [], turn: 'take-in' }
}

/**
 * Tokens of the next chunk. Depends on nothing but the request itself, so that its kernels are the same in any company.
 * One token is never left over: attention kernels for one and for several tokens round differently.
 */
export function chunkOf (remaining: number): number {
  if (remaining <= MAX_CHUNK) return remaining
  return remaining === MAX_CHUNK + 1 ? MAX_CHUNK - 1 : MAX_CHUNK
}

/** @throws ServiceError `saturated` when as many wait as may; `pending` counts those still on their way to the queue. */
export function checkRoom (schedule: Schedule<Schedulable, Schedulable>, pending: number): void {
  const waiting = schedule.waiting.length + pending
  const free = schedule.slots - schedule.rows.length
  if (waiting < schedule.maxWaiting + free) return
  // A full queue of short requests clears in about a second for each round of slots.
  const retryAfter = Math.max(1, Math.min(30, Math.ceil(waiting / schedule.slots)))
  throw new ServiceError('saturated', `${schedule.rows.length} sequences run and ${waiting} wait, limit ${schedule.maxWaiting}`, { retryAfter })
}

export function enqueue<T extends Schedulable> (queue: T[], item: T): void {
  const place = queue.findIndex(other => other.arrival > item.arrival)
  queue.splice(place === -1 ? queue.length : place, 0, item)
}

/**
 * Taking in (compiling a prompt, running an input chunk) and decoding take turns, so that neither waits for more than
 * one step of the other; within taking in, the earlier arrival goes first.
 */
export function nextStep<S extends Schedulable, C extends Schedulable> (schedule: Schedule<S, C>): Step<S, C> {
  const decoding = decodingRows(schedule)
  const taken = takeIn(schedule)
  if (decoding > 0 && (taken === null || schedule.turn === 'decode')) return { kind: 'decode', rows: decoding }
  return taken ?? { kind: 'idle' }
}

function takeIn<S extends Schedulable, C extends Schedulable> (schedule: Schedule<S, C>): Step<S, C> | null {
  const compilation = schedule.compilations[0]
  const last = schedule.rows.at(-1)
  let sequence: S | undefined
  let slot = schedule.rows.length - 1
  if (last !== undefined && last.remaining > 0) sequence = last
  else if (schedule.rows.length < schedule.slots) {
    sequence = schedule.waiting[0]
    slot = schedule.rows.length
  }
  if (compilation !== undefined && (sequence === undefined || compilation.arrival <= sequence.arrival)) {
    return { kind: 'compile', item: compilation, tokens: chunkOf(compilation.remaining) }
  }
  return sequence === undefined ? null : { kind: 'prefill', item: sequence, slot, tokens: chunkOf(sequence.remaining) }
}

/** A waiting sequence that the step takes in becomes the last row. Before its first chunk runs. */
export function begin<S extends Schedulable, C extends Schedulable> (schedule: Schedule<S, C>, step: Step<S, C>): void {
  if (step.kind !== 'prefill' || step.slot < schedule.rows.length) return
  schedule.waiting.splice(schedule.waiting.indexOf(step.item), 1)
  schedule.rows.push(step.item)
}

/** Account for a step that ran. */
export function complete<S extends Schedulable, C extends Schedulable> (schedule: Schedule<S, C>, step: Step<S, C>): void {
  schedule.turn = step.kind === 'decode' ? 'take-in' : 'decode'
  if (step.kind !== 'prefill' && step.kind !== 'compile') return
  step.item.remaining -= step.tokens
  if (step.kind === 'compile' && step.item.remaining === 0) schedule.compilations.splice(schedule.compilations.indexOf(step.item), 1)
}

/**
 * Take a sequence out, wherever it is. The hole is filled by the last row that decodes, and the row still taking its
 * input in closes up: the moves to make, in this order.
 */
export function remove<S extends Schedulable> (schedule: Schedule<S, Schedulable>, item: S): Array<Move<S>> {
  const place = schedule.waiting.indexOf(item)
  if (place !== -1) schedule.waiting.splice(place, 1)
  const hole = schedule.rows.indexOf(item)
  if (hole === -1) return []
  const moves: Array<Move<S>> = []
  const decoding = decodingRows(schedule)
  let free = hole
  // The last decoding row first, then the row behind the decoding ones, if there is one.
  for (const from of [decoding - 1, decoding]) {
    const moved = schedule.rows[from]
    if (from <= free || moved === undefined) continue
    moves.push({ item: moved, from, to: free })
    schedule.rows[free] = moved
    free = from
  }
  schedule.rows.pop()
  return moves
}

function decodingRows (schedule: Schedule<Schedulable, Schedulable>): number {
  const last = schedule.rows.at(-1)
  return schedule.rows.length - (last !== undefined && last.remaining > 0 ? 1 : 0)
}
