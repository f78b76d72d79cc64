/** The table that an answer is followed in, byte by byte: the subset construction over the states of `nfa.ts`. */
import { type Nfa, TooLarge } from './nfa.js'

export const MAX_TABLE_STATES = 20_000
/** Sets of states and their members that were looked at; some hundred milliseconds. */
export const MAX_WORK = 8_000_000
/** No way leads on. */
export const DEAD = 0xffff

export interface Automaton {
  /** [256] bytes that are never told apart have one class. */
  readonly classes: Uint8Array
  readonly numClasses: number
  /** [states, numClasses] the state behind a byte of the class, or `DEAD`; the start is 0. */
  readonly table: Uint16Array
  /** [states] 1: the text may end here. */
  readonly accepting: Uint8Array
}

/** What is known of each state beside, when only some bytes may be used alone. */
export interface Completion {
  /** [states] 1: the text can be completed from here by single bytes. */
  readonly live: Uint8Array
  /** [states] 1: a single byte leads on to where it can be. */
  readonly open: Uint8Array
}

/** @throws TooLarge when the table or the work to make it has no bound that is worth it */
export function automatonOf (nfa: Nfa): Automaton {
  const { classes, representatives } = byteClasses(nfa)
  const numClasses = representatives.length
  const closures = new Closures(nfa)
  const known = new Map<string, number>()
  const sets: Int32Array[] = []
  const rows: number[][] = []
  const stateOf = (set: Int32Array): number => {
    const key = set.join()
    let state = known.get(key)
    if (state === undefined) {
      if (sets.length === MAX_TABLE_STATES) throw new TooLarge(`its table needs more than ${MAX_TABLE_STATES} states`)
      state = sets.push(set) - 1
      known.set(key, state)
    }
    return state
  }
  stateOf(closures.of([0]))
  for (let state = 0; state < sets.length; state++) {
    const targets: number[][] = Array.from({ length: numClasses }, () => [])
    for (const member of sets[state]!) {
      for (const { from, to, target } of nfa.edges[member]!) {
        for (let at = classes[from]!; at <= classes[to]!; at++) targets[at]!.push(target)
      }
    }
    rows.push(targets.map(reached => reached.length === 0 ? DEAD : stateOf(closures.of(reached))))
  }
  return { classes, numClasses, table: Uint16Array.from(rows.flat()), accepting: Uint8Array.from(sets, set => set.includes(nfa.end) ? 1 : 0) }
}

/** Ascending with the bytes, so that a range of bytes is a range of classes. */
function byteClasses ({ edges }: Nfa): { classes: Uint8Array, representatives: number[] } {
  const starts = new Set([0])
  for (const outgoing of edges) {
    for (const { from, to } of outgoing) {
      starts.add(from)
      if (to < 255) starts.add(to + 1)
    }
  }
  const representatives = [...starts].sort((a, b) => a - b)
  const classes = new Uint8Array(256)
  for (const [index, start] of representatives.entries()) classes.fill(index, start)
  return { classes, representatives }
}

/** What is reached without a byte, of it only what reads one or is the end. */
class Closures {
  readonly #nfa: Nfa
  readonly #seen: Int32Array
  #round = 0
  #work = 0

  constructor (nfa: Nfa) {
    this.#nfa = nfa
    this.#seen = new Int32Array(nfa.edges.length)
  }

  of (states: readonly number[]): Int32Array {
    const { edges, free, end } = this.#nfa
    const round = ++this.#round
    const stack: number[] = []
    const kept: number[] = []
    const visit = (state: number): void => {
      if (this.#seen[state] === round) return
      this.#seen[state] = round
      stack.push(state)
    }
    for (const state of states) visit(state)
    this.#work += states.length
    for (let state = stack.pop(); state !== undefined; state = stack.pop()) {
      if (edges[state]!.length > 0 || state === end) kept.push(state)
      this.#work += 1 + free[state]!.length
      for (const next of free[state]!) visit(next)
    }
    if (this.#work > MAX_WORK) throw new TooLarge('its table takes too long to make')
    return Int32Array.from(kept).sort()
  }
}

/** @param usable [256] 1: the byte may be used alone */
export function completionOf ({ classes, numClasses, table, accepting }: Automaton, usable: Uint8Array): Completion {
  const usableClass = new Uint8Array(numClasses)
  for (let byte = 0; byte < 256; byte++) if (usable[byte] === 1) usableClass[classes[byte]!] = 1
  const before: number[][] = Array.from(accepting, () => [])
  for (const [index, target] of table.entries()) if (target !== DEAD && usableClass[index % numClasses] === 1) before[target]!.push(Math.floor(index / numClasses))
  const live = Uint8Array.from(accepting)
  const queue = Array.from(live.keys()).filter(state => live[state] === 1)
  for (let state = queue.pop(); state !== undefined; state = queue.pop()) {
    for (const source of before[state]!) {
      if (live[source] === 1) continue
      live[source] = 1
      queue.push(source)
    }
  }
  const open = new Uint8Array(live.length)
  for (const [target, sources] of before.entries()) if (live[target] === 1) for (const source of sources) open[source] = 1
  return { live, open }
}
