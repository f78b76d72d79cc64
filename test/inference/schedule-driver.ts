/** Sequences of the scheduler without a model, and steps that run in no time. */
import { tenantsBehind } from '../../src/inference/precedence.js'
import { begin, complete, exchange, leave, type Move, newSchedule, nextStep, remove, type Schedulable, type Schedule, type Step } from '../../src/inference/scheduler.js'

export interface Item extends Schedulable {
  readonly name: string
  /** Input tokens it came with. */
  readonly input: number
  /** Tokens it still has to decode; 0: it ends with its input, as a classification does. */
  output: number
}

export type State = Schedule<Item, Item>

export function item (arrival: number, input: number, { tenant = 't', weight = 1, output = Infinity }: { tenant?: string, weight?: number, output?: number } = {}): Item {
  return { arrival, tenant, weight, passed: 0, rowsToCome: 0, inputsToCome: 0, mayLeave: true, length: input, remaining: input, input, output, name: `s${arrival}` }
}

export function newState (slots: number, maxWaiting: number, maxKept = Infinity, lanes = 1): State {
  return newSchedule(slots, maxWaiting, maxKept, lanes)
}

export interface Ran {
  readonly step: Step<Item, Item>
  /** Left its queue for this step. */
  readonly taken: Item | null
  /** Later arrivals that were taken in before it. */
  readonly passed: number
  readonly ended: readonly Item[]
  readonly moves: ReadonlyArray<Move<Item>>
}

/** Run the next step; what has nothing left to do ends. */
export function runStep (state: State): Ran {
  const step = nextStep(state)
  const passed = step.kind === 'pack' ? step.items[0]!.passed : 'item' in step ? step.item.passed : 0
  const known = new Set<Item>(state.compiling === null ? state.rows : [...state.rows, state.compiling])
  if (step.kind === 'decode') for (const pair of step.exchanges) exchange(state, pair)
  const moves = begin(state, step)
  if (step.kind === 'leave') moves.push(...leave(state, step.item))
  const taken = (step.kind === 'prefill' || step.kind === 'compile') && !known.has(step.item) ? step.item : null
  complete(state, step)
  const ended: Item[] = []
  const worked = step.kind === 'decode' ? state.rows.slice(0, step.rows) : step.kind === 'prefill' ? [step.item] : step.kind === 'pack' ? step.items : []
  for (const each of worked) {
    if (step.kind === 'decode') each.output--
    if (each.remaining > 0 || each.output > 0) continue
    ended.push(each)
    moves.push(...remove(state, each))
  }
  return { step, taken, passed, ended, moves }
}

/** Whose rows and inputs give way at present. */
export function behind (state: State): ReadonlySet<string> {
  return tenantsBehind(state.shares, state.slots, state.rows, state.waiting, state.compilations, state.compiling === null ? [] : [state.compiling])
}

/** What a step does, in words. */
export function inWords (state: State): string {
  const names = state.rows.map(({ name }) => name)
  const { step } = runStep(state)
  if (step.kind === 'decode') for (const [a, b] of step.exchanges) [names[a], names[b]] = [names[b]!, names[a]!]
  switch (step.kind) {
    case 'idle': return 'idle'
    case 'decode': return `decode ${names.slice(0, step.rows).join()}`
    case 'leave': return `${step.item.name} leaves ${step.slot}`
    case 'return': return `${step.item.name} returns to ${step.slot}`
    case 'prefill': return `prefill ${step.item.name} in ${step.slot}: ${step.tokens}`
    case 'pack': return `pack ${step.items.map(({ name }) => name).join()} from ${step.slot}: ${step.tokens}`
    case 'compile': return `compile ${step.item.name}: ${step.tokens}`
  }
}

/** Random whole numbers from 0 to under a limit. @param numbers in [-1, 1) */
export function below (numbers: () => number): (limit: number) => number {
  return limit => Math.floor((numbers() + 1) / 2 * limit)
}
