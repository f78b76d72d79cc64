/**
 * Which step comes next: plain data and functions over it, without a model, a clock or I/O. Rows 0 .. n-1 are the slots
 * in use; rows that decode come first, at most one row still takes its input in and is the last. Between them are rows of
 * its request that have theirs in and wait for it. Short inputs whose turn it would be one after another run as one pack,
 * which takes all of each in. A decode step runs all rows that decode, or the first of them: those in
 * front, while tenants that stand behind (`precedence.ts`) wait.
 */
import { chunkOf, costOf, MAX_CHUNK, PACK_INPUT_TOKENS, PACK_TOKENS, RUN_TOKENS, STEP_TOKENS } from './chunks.js'
import { ageDecides, charge, counterOf, forget, goesBefore, INPUT_WEIGHT, isOverdue, lift, newShares, OUTPUT_WEIGHT, type Queued, type Shares, takenIn } from './fair-share.js'
import { lentByChunk, lentByDecode, takenByChunk, tenantsBehind, withLent } from './precedence.js'
import { givesWay, whoLeaves } from './who-leaves.js'

/** What the scheduler knows of a sequence, or of a prompt that is being compiled. */
export interface Schedulable extends Queued {
  /** Input tokens that have not been run yet. */
  remaining: number
  /** Slots that are kept for it beside its own, until `widen`. */
  readonly rowsToCome: number
  /** Inputs of its request that are taken in after its own; until they are it does not decode. */
  readonly inputsToCome: number
  /** It is the only row of its request, so that it may leave its slot for a while. */
  readonly mayLeave: boolean
  /** Positions of its slot that hold keys and values. */
  readonly length: number
}

export interface Schedule<S extends Schedulable, C extends Schedulable> {
  /** Rows that can be in use at once. */
  readonly slots: number
  /** Sequences that may wait before new ones are refused. */
  readonly maxWaiting: number
  /** Positions that may be kept outside the slots. */
  readonly maxKept: number
  /** Inputs that one step can take in; 1: no packs. */
  readonly lanes: number
  /** Whose the requests are that are on their way to the queue, by arrival. */
  readonly loading: Map<number, Pick<Queued, 'tenant' | 'weight'>>
  /** By arrival. */
  readonly waiting: S[]
  /** Those of `waiting` that have left a slot; what it held is kept. */
  readonly left: Set<S>
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
  /** Time that those behind may take beside the others, in input tokens; negative: taken ahead. */
  lent: number
  /** A chunk of one behind took of it last: rows behind that decode are next. */
  rowsBehindAreNext: boolean
}

/** `lends`: what it adds to the time of those behind, or takes. */
export type Step<S, C> =
  /** `cost`: what it takes from the budget. */
  | ((Chunk<S, C> | Pack<S>) & { readonly cost: number, readonly lends: number })
  /** One token for each of rows 0 .. rows-1, after the contents of these pairs of slots have changed places. */
  | { readonly kind: 'decode', readonly rows: number, readonly exchanges: readonly Exchange[], readonly lends: number }
  | Placement<S>
  | { readonly kind: 'idle' }

type Chunk<S, C> = { readonly kind: 'compile', readonly item: C, readonly tokens: number } | { readonly kind: 'prefill', readonly item: S, readonly slot: number, readonly tokens: number }
/** All of the inputs of several that wait, in slots `slot`, `slot` + 1, ...; `tokens`: of all of them. */
interface Pack<S> { readonly kind: 'pack', readonly items: readonly S[], readonly slot: number, readonly tokens: number }
/** Nothing runs: a row leaves its slot and what it holds is kept, or comes back with it. */
type Placement<S> = { readonly kind: 'leave', readonly item: S, readonly slot: number } | { readonly kind: 'return', readonly item: S, readonly slot: number }

export type Exchange = readonly [slot: number, slot: number]

/** A slot's contents go from one slot to another. */
export interface Move<S> { readonly item: S, readonly from: number, readonly to: number }

export function newSchedule<S extends Schedulable, C extends Schedulable> (slots: number, maxWaiting: number, maxKept = 0, lanes = 1): Schedule<S, C> {
  return {
    slots, maxWaiting, maxKept, lanes, loading: new Map(), waiting: [], left: new Set(), compilations: [], compiling: null, rows: [], shares: newShares(),
    budget: STEP_TOKENS, begunIsNext: false, lent: 0, rowsBehindAreNext: false
  }
}

/** @param queue `waiting` or `compilations` of the schedule */
export function enqueue<T extends Schedulable> (schedule: Schedule<Schedulable, Schedulable>, queue: T[], item: T): void {
  lift(schedule.shares, item.tenant, schedule.waiting, schedule.compilations)
  insert(queue, item)
}

function insert<T extends Schedulable> (queue: T[], item: T): void {
  const place = queue.findIndex(other => other.arrival > item.arrival)
  queue.splice(place === -1 ? queue.length : place, 0, item)
}

/**
 * Rows decode whenever the next chunk is beyond the budget of this step; without rows that decode nothing is held back.
 * Where there are others, those behind are held back until time is lent to them.
 */
export function nextStep<S extends Schedulable, C extends Schedulable> (schedule: Schedule<S, C>): Step<S, C> {
  const { rows, waiting, compilations, compiling, slots, shares, budget, lent } = schedule
  const behind = tenantsBehind(shares, slots, rows, waiting, compilations, compiling === null ? [] : [compiling])
  const next = nextChunk(schedule, behind)
  if (next !== null && (next.kind === 'leave' || next.kind === 'return')) return next
  const decoding = rows.slice(0, decodingRows(schedule))
  const front = decoding.filter(({ tenant }) => !behind.has(tenant)).length
  const othersAreThere = front > 0 || (next !== null && !behind.has(next.item.tenant))
  if (next !== null) {
    const isBehind = behind.has(next.item.tenant)
    const waits = decoding.length > 0 && budget < STEP_TOKENS
    const affordable = !waits || costOf(next.tokens) <= budget
    const held = isBehind && othersAreThere && (lent < 0 || (schedule.rowsBehindAreNext && front < decoding.length))
    // Rows behind alone do not keep those in front waiting.
    const nobodyIsKept = !isBehind && front === 0 && lent < 0
    if ((affordable && !held) || nobodyIsKept) {
      const chunk = withOthers(schedule, next, behind, waits ? Math.min(PACK_TOKENS, budget - RUN_TOKENS) : PACK_TOKENS)
      const lends = isBehind ? (othersAreThere ? -takenByChunk(chunk.tokens) : 0) : behind.size > 0 ? lentByChunk(chunk.tokens) : 0
      return { ...chunk, cost: costOf(chunk.tokens), lends }
    }
  }
  if (decoding.length === 0) return { kind: 'idle' }
  if (front > 0 && front < decoding.length && lent < 0) return { kind: 'decode', rows: front, exchanges: toFront(decoding, behind, front), lends: lentByDecode(front, 0) }
  const lends = othersAreThere && behind.size > 0 ? lentByDecode(front, decoding.length - front) : 0
  return { kind: 'decode', rows: decoding.length, exchanges: [], lends }
}

/** Pairs of slots after whose exchange the first `front` rows are those in front. */
function toFront (decoding: readonly Schedulable[], behind: ReadonlySet<string>, front: number): Exchange[] {
  const exchanges: Exchange[] = []
  let from = front
  for (let slot = 0; slot < front; slot++) {
    if (!behind.has(decoding[slot]!.tenant)) continue
    while (behind.has(decoding[from]!.tenant)) from++
    exchanges.push([slot, from++])
  }
  return exchanges
}

/**
 * What was begun and what begins take turns, so that a long input does not stall the others; those whose tenant was
 * served more than that of the long input wait for its end. Two long ones do not run side by side: each would only end
 * later; but one behind leaves its slot to one in front.
 */
function nextChunk<S extends Schedulable, C extends Schedulable> (schedule: Schedule<S, C>, behind: ReadonlySet<string>): Chunk<S, C> | Placement<S> | null {
  const begun = begunChunk(schedule)
  const first = firstChunk(schedule, rowTakingIn(schedule), behind)
  if (first === null || begun === null) return first ?? begun
  if (first.kind === 'leave' || first.kind === 'return') return first
  if (behind.has(begun.item.tenant) && !behind.has(first.item.tenant)) return first
  if (schedule.begunIsNext) return begun
  return counterOf(schedule.shares, first.item.tenant) <= counterOf(schedule.shares, begun.item.tenant) ? first : begun
}

function begunChunk<S extends Schedulable, C extends Schedulable> (schedule: Schedule<S, C>): Chunk<S, C> | null {
  const { rows, compiling } = schedule
  const row = rowTakingIn(schedule)
  if (row !== null && (compiling === null || row.arrival < compiling.arrival)) return prefill(row, rows.length - 1)
  return compiling === null ? null : compile(compiling)
}

function firstChunk<S extends Schedulable, C extends Schedulable> (schedule: Schedule<S, C>, row: S | null, behind: ReadonlySet<string>): Chunk<S, C> | Placement<S> | null {
  const { shares, rows, left, waiting, compilations } = schedule
  if (waiting.length + compilations.length === 0) return null
  const { sequence, compilation } = whoseTurn(schedule, shares, row, behind)
  if (sequence !== null) {
    if (isSecond(schedule, row, sequence)) return { kind: 'leave', item: row!, slot: rows.length - 1 }
    const slot = decodingRows(schedule)
    // A row that takes its input in steps back, because what runs in one chunk decodes before it.
    if (freeSlots(schedule) > sequence.rowsToCome) return left.has(sequence) ? { kind: 'return', item: sequence, slot } : prefill(sequence, slot)
    // One that needs more slots than there are waits for them in front of the others: else it might never get them.
    const leaves = whoLeaves(schedule, sequence, behind)
    if (leaves !== null) return { kind: 'leave', item: rows[leaves]!, slot: leaves }
  }
  return compilation === null ? null : compile(compilation)
}

/**
 * Who of those that wait is next, beside `row`; `sequence` is null where a compilation goes before.
 * @param passedOver do not wait any more
 */
function whoseTurn<S extends Schedulable, C extends Schedulable> (schedule: Schedule<S, C>, shares: Shares, row: S | null, behind: ReadonlySet<string>, passedOver: readonly S[] = []): { readonly sequence: S | null, readonly compilation: C | null } {
  const { waiting, compilations, compiling, lent } = schedule
  const byAge = row === null && ageDecides(shares)
  const goesFirst = (a: Schedulable, b: Schedulable): boolean => {
    const differ = behind.has(a.tenant) !== behind.has(b.tenant)
    return differ && !(byAge && lent >= 0 && (isOverdue(a) || isOverdue(b))) ? behind.has(b.tenant) : goesBefore(shares, a, b, byAge)
  }
  const rowGivesWay = row !== null && givesWay(schedule, row, behind)
  let sequence: S | null = null
  let compilation: C | null = null
  for (const item of waiting) {
    if (passedOver.includes(item) || (isSecond(schedule, row, item) && !(rowGivesWay && !behind.has(item.tenant)))) continue
    if (sequence === null || goesFirst(item, sequence)) sequence = item
  }
  if (compiling === null) {
    for (const item of compilations) if (compilation === null || goesFirst(item, compilation)) compilation = item
  }
  return { sequence: sequence !== null && compilation !== null && goesFirst(compilation, sequence) ? null : sequence, compilation }
}

/** It would take its input in beside `row`, and not at once. */
function isSecond<S extends Schedulable> ({ left }: Schedule<S, Schedulable>, row: S | null, item: S): boolean {
  return row !== null && (left.has(item) ? item.remaining > 0 : item.remaining > MAX_CHUNK || item.inputsToCome > 0)
}

/**
 * A short input that begins, and behind it those whose turn it would be after it, as long as they are short too: nobody is
 * taken in that would not be next. @param most tokens of all of them
 */
function withOthers<S extends Schedulable, C extends Schedulable> (schedule: Schedule<S, C>, first: Chunk<S, C>, behind: ReadonlySet<string>, most: number): Chunk<S, C> | Pack<S> {
  const { lanes, waiting, rows } = schedule
  if (lanes < 2 || waiting.length < 2 || first.kind !== 'prefill' || first.item === rows[first.slot] || !isShort(schedule, first.item)) return first
  const row = rowTakingIn(schedule)
  const begun = begunChunk(schedule)
  const shares: Shares = { ...schedule.shares, counters: new Map(schedule.shares.counters) }
  const items = [first.item]
  let tokens = first.tokens
  for (let room = Math.min(lanes, freeSlots(schedule)) - 1; room > 0; room--) {
    const last = items.at(-1)!
    takenIn(shares, last, last.remaining, row === null && ageDecides(shares))
    const { sequence } = whoseTurn(schedule, shares, row, behind, items)
    if (sequence === null || !isShort(schedule, sequence) || tokens + sequence.remaining > most || behind.has(sequence.tenant) !== behind.has(last.tenant)) break
    if (begun !== null && counterOf(shares, sequence.tenant) > counterOf(shares, begun.item.tenant)) break
    items.push(sequence)
    tokens += sequence.remaining
  }
  return items.length === 1 ? first : { kind: 'pack', items, slot: first.slot, tokens }
}

/** It is one row, whose whole input fits a pack. */
function isShort<S extends Schedulable> ({ left }: Schedule<S, Schedulable>, item: S): boolean {
  return item.remaining <= PACK_INPUT_TOKENS && item.rowsToCome === 0 && item.inputsToCome === 0 && !left.has(item)
}

/** Before a decode step: the rows change places as it says. */
export function exchange<S extends Schedulable> ({ rows }: Schedule<S, Schedulable>, [a, b]: Exchange): void {
  const row = rows[a]!
  rows[a] = rows[b]!
  rows[b] = row
}

/** Before the first chunk of an item runs, or it comes back: it leaves the queue. Answers the moves to make before the step, in this order. */
export function begin<S extends Schedulable, C extends Schedulable> (schedule: Schedule<S, C>, step: Step<S, C>): Array<Move<S>> {
  const { shares, rows, waiting, left, compilations } = schedule
  if (step.kind === 'idle' || step.kind === 'decode' || step.kind === 'leave') return []
  schedule.begunIsNext = step.kind === 'pack' || (step.item !== schedule.compiling && (step.kind === 'compile' || step.item !== rows[step.slot]))
  if (!schedule.begunIsNext) return []
  const items = step.kind === 'pack' ? step.items : step.kind === 'compile' ? [] : [step.item]
  for (const item of step.kind === 'compile' ? [step.item] : items) {
    takenIn(shares, item, step.kind === 'return' ? 0 : item.remaining, isByAge(schedule), freeSlots(schedule) > 0 ? waiting : [], schedule.compiling === null ? compilations : [])
  }
  if (step.kind === 'compile') {
    schedule.compiling = step.item
    return []
  }
  for (const item of items) {
    waiting.splice(waiting.indexOf(item), 1)
    // What it waited for is over; one that left and waits too long is taken in by age, and then stays.
    if (!left.delete(item)) item.passed = 0
  }
  const moves = stepBack(schedule, items.length)
  for (const [index, item] of items.entries()) rows[step.slot + index] = item
  return moves
}

/** A row leaves its slot and waits to come back. Answers the moves that close the gap, in this order. */
export function leave<S extends Schedulable> (schedule: Schedule<S, Schedulable>, item: S): Array<Move<S>> {
  const moves = vacate(schedule, item)
  insert(schedule.waiting, item)
  schedule.left.add(item)
  return moves
}

/** Account for a step that ran. */
export function complete<S extends Schedulable, C extends Schedulable> (schedule: Schedule<S, C>, step: Step<S, C>): void {
  if (step.kind === 'idle' || step.kind === 'leave' || step.kind === 'return') return
  schedule.lent = withLent(schedule.lent, step.lends)
  if (step.kind === 'decode') {
    schedule.budget = Math.min(STEP_TOKENS, schedule.budget + STEP_TOKENS)
    if (step.rows === decodingRows(schedule)) schedule.rowsBehindAreNext = false
    for (let row = 0; row < step.rows; row++) charge(schedule.shares, schedule.rows[row]!, OUTPUT_WEIGHT)
    return
  }
  if (step.lends < 0) schedule.rowsBehindAreNext = true
  if (step.kind === 'pack') for (const item of step.items) item.remaining = 0
  else step.item.remaining -= step.tokens
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
  charge(schedule.shares, next, INPUT_WEIGHT * next.remaining)
  schedule.rows.push(next)
}

/** Take a compilation out, wherever it is. */
export function drop<C extends Schedulable> (schedule: Schedule<Schedulable, C>, compilation: C): void {
  const place = schedule.compilations.indexOf(compilation)
  if (place !== -1) schedule.compilations.splice(place, 1)
  if (schedule.compiling === compilation) schedule.compiling = null
}

/** Take a sequence out, wherever it is. Answers the moves that close the gap, in this order. */
export function remove<S extends Schedulable> (schedule: Schedule<S, Schedulable>, item: S): Array<Move<S>> {
  const { rows, waiting, left, compilations, loading } = schedule
  const place = waiting.indexOf(item)
  if (place !== -1) waiting.splice(place, 1)
  left.delete(item)
  const moves = vacate(schedule, item)
  if (loading.size === 0) forget(schedule.shares, rows, waiting, compilations)
  return moves
}

/** The hole is filled by the last row that decodes, its place by the last one that waits, and the row still taking its input in closes up. */
function vacate<S extends Schedulable> (schedule: Schedule<S, Schedulable>, item: S): Array<Move<S>> {
  const { rows } = schedule
  const hole = rows.indexOf(item)
  const moves: Array<Move<S>> = []
  if (hole === -1) return moves
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
