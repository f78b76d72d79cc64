/**
 * Which step comes next: plain data and functions over it, without a model, a clock or I/O. Rows 0 .. n-1 are the slots
 * in use; rows that decode come first, at most one row still takes its input in and is the last. Between them are rows of
 * its request that have theirs in and wait for it.
 */
import { chunkOf, costOf, MAX_CHUNK, STEP_TOKENS } from './chunks.js'
import { ageDecides, charge, counterOf, forget, goesBefore, INPUT_WEIGHT, lift, newShares, OUTPUT_WEIGHT, type Queued, type Shares, takenIn } from './fair-share.js'

/** What the scheduler knows of a sequence, or of a prompt that is being compiled. */
export interface Schedulable extends Queued {
  /** Input tokens that have not been run yet. */
  remaining: number
  /** Slots that are kept for it beside its own, until `widen`. */
  readonly rowsToCome: number
  /** Inputs of its request that are taken in after its own; until they are it does not decode. */
  readonly inputsToCome: number
}

export interface Schedule<S extends Schedulable, C extends Schedulable> {
  /** Rows that can be in use at once. */
  readonly slots: number
  /** Sequences that may wait before new ones are refused. */
  readonly maxWaiting: number
  /** Tenants of the requests on their way to the queue, by arrival. */
  readonly loading: Map<number, string>
  /** By arrival. */
  readonly waiting: S[]
  /** By arrival; they run in a scratch slot, one at a time. */
  readonly compilations: C[]
  /** The compilation whose keys and values the scratch slot holds. */
  compiling: C | null
  /** Index = slot. */
  readonly rows: S[]
  readonly shares: Shares
  /** Input tokens that may be taken in before the next decode step; negative: taken in ahead. */
  budget: number
  /** The last chunk was the first of its input: one that was begun before it is next. */
  begunIsNext: boolean
}

export type Step<S, C> =
  /** `cost`: what it takes from the budget. */
  | { readonly kind: 'compile', readonly item: C, readonly tokens: number, readonly cost: number }
  | { readonly kind: 'prefill', readonly item: S, readonly slot: number, readonly tokens: number, readonly cost: number }
  /** One token for each of rows 0 .. rows-1. */
  | { readonly kind: 'decode', readonly rows: number }
  | { readonly kind: 'idle' }

/** A slot's contents go from one slot to another. */
export interface Move<S> { readonly item: S, readonly from: number, readonly to: number }

export function newSchedule<S extends Schedulable, C extends Schedulable> (slots: number, maxWaiting: number): Schedule<S, C> {
  return { slots, maxWaiting, loading: new Map(), waiting: [], compilations: [], compiling: null, rows: [], shares: newShares(), budget: STEP_TOKENS, begunIsNext: false }
}

/** @param queue `waiting` or `compilations` of the schedule */
export function enqueue<T extends Schedulable> (schedule: Schedule<Schedulable, Schedulable>, queue: T[], item: T): void {
  lift(schedule.shares, item.tenant, schedule.waiting, schedule.compilations)
  const place = queue.findIndex(other => other.arrival > item.arrival)
  queue.splice(place === -1 ? queue.length : place, 0, item)
}

/** Rows decode whenever the next chunk is beyond the budget of this step; without rows that decode nothing is held back. */
export function nextStep<S extends Schedulable, C extends Schedulable> (schedule: Schedule<S, C>): Step<S, C> {
  const decoding = decodingRows(schedule)
  const chunk = nextChunk(schedule)
  if (chunk === null) return decoding > 0 ? { kind: 'decode', rows: decoding } : { kind: 'idle' }
  const cost = costOf(chunk.tokens, isAhead(schedule, chunk.item.tenant, decoding))
  const affordable = schedule.budget === STEP_TOKENS || cost <= schedule.budget
  return decoding > 0 && !affordable ? { kind: 'decode', rows: decoding } : { ...chunk, cost }
}

type Chunk<S, C> = { readonly kind: 'compile', readonly item: C, readonly tokens: number } | { readonly kind: 'prefill', readonly item: S, readonly slot: number, readonly tokens: number }

/**
 * What was begun and what begins take turns, so that a long input does not stall the others; those whose tenant was
 * served more than that of the long input wait for its end. Two long ones do not run side by side: each would only end
 * later.
 */
function nextChunk<S extends Schedulable, C extends Schedulable> (schedule: Schedule<S, C>): Chunk<S, C> | null {
  const { rows, compiling } = schedule
  const row = rowTakingIn(schedule)
  const begun = row !== null && (compiling === null || row.arrival < compiling.arrival) ? prefill(row, rows.length - 1) : compiling === null ? null : compile(compiling)
  if (begun !== null && schedule.begunIsNext) return begun
  const first = firstChunk(schedule, row)
  if (first === null || begun === null) return first ?? begun
  return counterOf(schedule.shares, first.item.tenant) <= counterOf(schedule.shares, begun.item.tenant) ? first : begun
}

function firstChunk<S extends Schedulable, C extends Schedulable> (schedule: Schedule<S, C>, row: S | null): Chunk<S, C> | null {
  const { shares, waiting, compilations, compiling } = schedule
  const byAge = isByAge(schedule)
  let sequence: S | null = null
  let compilation: C | null = null
  const free = freeSlots(schedule)
  if (free > 0) {
    for (const item of waiting) {
      if (row !== null && (item.remaining > MAX_CHUNK || item.inputsToCome > 0)) continue
      if (sequence === null || goesBefore(shares, item, sequence, byAge)) sequence = item
    }
  }
  // One that needs more slots than there are waits for them in front of the others: else it might never get them.
  if (sequence !== null && sequence.rowsToCome >= free) sequence = null
  if (compiling === null) {
    for (const item of compilations) if (compilation === null || goesBefore(shares, item, compilation, byAge)) compilation = item
  }
  if (compilation !== null && (sequence === null || goesBefore(shares, compilation, sequence, byAge))) return compile(compilation)
  // A row that takes its input in steps back, because what runs in one chunk decodes before it.
  return sequence === null ? null : prefill(sequence, decodingRows(schedule))
}

/** Before the first chunk of an item runs: it leaves the queue. Answers the moves to make before the step, in this order. */
export function begin<S extends Schedulable, C extends Schedulable> (schedule: Schedule<S, C>, step: Step<S, C>): Array<Move<S>> {
  const { shares, rows, waiting, compilations } = schedule
  if (step.kind !== 'prefill' && step.kind !== 'compile') return []
  const { item } = step
  schedule.begunIsNext = item !== schedule.compiling && (step.kind === 'compile' || item !== rows[step.slot])
  if (!schedule.begunIsNext) return []
  takenIn(shares, item, item.remaining, isByAge(schedule), freeSlots(schedule) > 0 ? waiting : [], schedule.compiling === null ? compilations : [])
  if (step.kind === 'compile') {
    schedule.compiling = step.item
    return []
  }
  waiting.splice(waiting.indexOf(step.item), 1)
  const moves = stepBack(schedule, 1)
  rows[step.slot] = step.item
  return moves
}

/** Account for a step that ran. */
export function complete<S extends Schedulable, C extends Schedulable> (schedule: Schedule<S, C>, step: Step<S, C>): void {
  if (step.kind === 'idle') return
  if (step.kind === 'decode') {
    schedule.budget = Math.min(STEP_TOKENS, schedule.budget + STEP_TOKENS)
    for (let row = 0; row < step.rows; row++) charge(schedule.shares, schedule.rows[row]!.tenant, OUTPUT_WEIGHT)
    return
  }
  step.item.remaining -= step.tokens
  schedule.budget = decodingRows(schedule) === 0 ? STEP_TOKENS : schedule.budget - step.cost
  if (step.kind === 'compile' && step.item.remaining === 0) drop(schedule, step.item)
}

/** Rows that decode join one that kept slots for them. Answers the moves to make first, in this order. */
export function widen<S extends Schedulable> (schedule: Schedule<S, Schedulable>, added: readonly S[]): Array<Move<S>> {
  const first = decodingRows(schedule)
  const moves = stepBack(schedule, added.length)
  for (const [index, row] of added.entries()) schedule.rows[first + index] = row
  return moves
}

/** The last row has its input in and `next`, of the same request, takes in another: behind it, or in its slot when it was removed. */
export function follow<S extends Schedulable> (schedule: Schedule<S, Schedulable>, next: S): void {
  charge(schedule.shares, next.tenant, INPUT_WEIGHT * next.remaining)
  schedule.rows.push(next)
}

/** Take a compilation out, wherever it is. */
export function drop<C extends Schedulable> (schedule: Schedule<Schedulable, C>, compilation: C): void {
  const place = schedule.compilations.indexOf(compilation)
  if (place !== -1) schedule.compilations.splice(place, 1)
  if (schedule.compiling === compilation) schedule.compiling = null
}

/**
 * Take a sequence out, wherever it is. The hole is filled by the last row that decodes, its place by the last one that
 * waits, and the row still taking its input in closes up: the moves to make, in this order.
 */
export function remove<S extends Schedulable> (schedule: Schedule<S, Schedulable>, item: S): Array<Move<S>> {
  const { rows, waiting, compilations, loading } = schedule
  const place = waiting.indexOf(item)
  if (place !== -1) waiting.splice(place, 1)
  const hole = rows.indexOf(item)
  const moves: Array<Move<S>> = []
  if (hole !== -1) {
    const last = rows.length - 1
    let free = hole
    for (const from of [decodingRows(schedule) - 1, last - 1, last]) {
      const moved = rows[from]
      if (from <= free || moved === undefined) continue
      moves.push({ item: moved, from, to: free })
      rows[free] = moved
      free = from
    }
    rows.pop()
  }
  if (loading.size === 0) forget(schedule.shares, rows, waiting, compilations)
  return moves
}

/** Those behind the rows that decode make room for `by` more of them; as few as possible move, and the last stays the last. */
function stepBack<S extends Schedulable> (schedule: Schedule<S, Schedulable>, by: number): Array<Move<S>> {
  const { rows } = schedule
  const first = decodingRows(schedule)
  const last = rows.length - 1
  if (first > last) return []
  const moves = [{ item: rows[last]!, from: last, to: last + by }]
  const to = Math.max(last, first + by)
  for (let index = 0; index < Math.min(by, last - first); index++) moves.push({ item: rows[first + index]!, from: first + index, to: to + index })
  for (const move of moves) rows[move.to] = move.item
  return moves
}

function freeSlots ({ slots, rows }: Schedule<Schedulable, Schedulable>): number {
  let free = slots
  for (const row of rows) free -= 1 + row.rowsToCome
  return free
}

/** Only where everything that waits may be chosen, so that what is oldest is. */
function isByAge (schedule: Schedule<Schedulable, Schedulable>): boolean {
  return rowTakingIn(schedule) === null && ageDecides(schedule.shares)
}

/** Whether `tenant` was served more than another whose rows decode. */
function isAhead ({ rows, shares }: Schedule<Schedulable, Schedulable>, tenant: string, decoding: number): boolean {
  const own = counterOf(shares, tenant)
  for (let row = 0; row < decoding; row++) if (counterOf(shares, rows[row]!.tenant) < own) return true
  return false
}

function prefill<S extends Schedulable> (item: S, slot: number): Chunk<S, never> {
  return { kind: 'prefill', item, slot, tokens: chunkOf(item.remaining) }
}

function compile<C extends Schedulable> (item: C): Chunk<never, C> {
  return { kind: 'compile', item, tokens: chunkOf(item.remaining) }
}

function rowTakingIn<S extends Schedulable> (schedule: Schedule<S, Schedulable>): S | null {
  const last = schedule.rows.at(-1)
  return last !== undefined && last.remaining > 0 ? last : null
}

function decodingRows ({ rows }: Schedule<Schedulable, Schedulable>): number {
  let decoding = rows.length
  while (decoding > 0 && !decodes(rows[decoding - 1]!)) decoding--
  return decoding
}

function decodes ({ remaining, inputsToCome }: Schedulable): boolean {
  return remaining === 0 && inputsToCome === 0
}
