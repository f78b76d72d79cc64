/** Rows that take in an input of their own one after the other, and wait for each other. */
import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { counterOf, OUTPUT_WEIGHT } from '../../src/inference/fair-share.js'
import { begin, complete, enqueue, exchange, follow, type Move, newSchedule, nextStep, remove, type Schedulable, type Schedule, widen } from '../../src/inference/scheduler.js'
import { seededNumbers } from '../support/numbers.js'
import { below } from './schedule-driver.js'

interface Item extends Schedulable {
  readonly name: string
  readonly input: number
  rowsToCome: number
  inputsToCome: number
  /** All rows of its request that have a slot, the last one first. */
  readonly company: Item[]
}

type State = Schedule<Item, Item>

/** @param keeps slots of the rows whose input is in */
function item (arrival: number, input: number, { tenant = 't', members = 1, keeps = true }: { tenant?: string, members?: number, keeps?: boolean } = {}): Item {
  const first: Item = { name: `${arrival}.0`, arrival, tenant, weight: 1, mayLeave: false, length: 0, passed: 0, input, remaining: input, rowsToCome: keeps ? members - 1 : 0, inputsToCome: members - 1, company: [] }
  first.company.push(first)
  return first
}

/** The last row has its input in: what its request does next. Answers the moves. */
function goOn (state: State, row: Item): Array<Move<Item>> {
  if (row.inputsToCome === 0) {
    for (const each of row.company) each.inputsToCome = 0
    return []
  }
  const keeps = row.rowsToCome > 0
  const next: Item = { ...row, name: `${row.arrival}.${Number(row.name.split('.')[1]) + 1}`, remaining: row.input, rowsToCome: keeps ? row.rowsToCome - 1 : 0, inputsToCome: row.inputsToCome - 1 }
  row.rowsToCome = 0
  const moves = keeps ? [] : remove(state, row)
  if (!keeps) row.company.shift()
  row.company.unshift(next)
  follow(state, next)
  return moves
}

/** Run the next step, in words. */
function runStep (state: State): string {
  const step = nextStep(state)
  const moves = begin(state, step).map(({ item: { name }, from, to }) => `${name} ${from}>${to}, `).join('')
  complete(state, step)
  switch (step.kind) {
    case 'prefill':
      if (step.item.remaining === 0) goOn(state, step.item)
      return `${moves}prefill ${step.item.name} in ${step.slot}`
    case 'decode': return `decode ${step.rows}`
    default: return step.kind
  }
}

const run = (state: State, steps: number): string[] => Array.from({ length: steps }, () => runStep(state))
const names = (state: State): string => state.rows.map(row => row.name).join(' ')

suite('rows that follow each other', () => {
  test('wait without a step until all have their input in, and then decode together', () => {
    const state: State = newSchedule(5, 10)
    enqueue(state, state.waiting, item(0, 5))
    enqueue(state, state.waiting, item(1, 100, { members: 3 }))
    assert.deepEqual(run(state, 7), ['prefill 0.0 in 0', 'prefill 1.0 in 1', 'decode 1', 'prefill 1.1 in 2', 'decode 1', 'prefill 1.2 in 3', 'decode 4'])
  })

  test('have slots kept for them until they come', () => {
    const state: State = newSchedule(3, 10)
    enqueue(state, state.waiting, item(0, 600, { members: 3 }))
    enqueue(state, state.waiting, item(1, 5))
    assert.deepEqual(run(state, 5), ['prefill 0.0 in 0', 'prefill 0.0 in 0', 'prefill 0.0 in 0', 'prefill 0.1 in 1', 'prefill 0.1 in 1'])
    assert.deepEqual(run(state, 5), ['prefill 0.1 in 1', 'prefill 0.2 in 2', 'prefill 0.2 in 2', 'prefill 0.2 in 2', 'decode 3'])
  })

  test('take one slot where none stays', () => {
    const state: State = newSchedule(1, 10)
    enqueue(state, state.waiting, item(0, 20, { members: 3, keeps: false }))
    assert.deepEqual([...run(state, 3), names(state)], ['prefill 0.0 in 0', 'prefill 0.1 in 0', 'prefill 0.2 in 0', '0.2'])
  })

  test('are not begun beside another that takes its input in, and short ones step in front of them', () => {
    const state: State = newSchedule(8, 10)
    enqueue(state, state.waiting, item(0, 300))
    enqueue(state, state.waiting, item(1, 40, { members: 3 }))
    assert.deepEqual(run(state, 5), ['prefill 0.0 in 0', 'prefill 0.0 in 0', 'prefill 1.0 in 1', 'decode 1', 'prefill 1.1 in 2'])
    enqueue(state, state.waiting, item(2, 10))
    assert.deepEqual([...run(state, 1), names(state)], ['1.2 3>4, 1.0 1>3, prefill 2.0 in 1', '0.0 2.0 1.1 1.0 1.2'])
    assert.deepEqual(widen(state, [item(2, 0), item(2, 0), item(2, 0)]).map(({ item: { name }, from, to }) => [name, from, to]), [['1.2', 4, 7], ['1.1', 2, 5], ['1.0', 3, 6]])
    assert.equal(names(state), '0.0 2.0 2.0 2.0 2.0 1.1 1.0 1.2')
  })

  test('are charged for each input and each token', () => {
    const state: State = newSchedule(4, 10)
    enqueue(state, state.waiting, item(0, 50, { members: 3, tenant: 'a' }))
    run(state, 4)
    assert.equal(counterOf(state.shares, 'a'), 3 * 50 + 3 * OUTPUT_WEIGHT)
  })

  test('20,000 random events keep every row in its place and every request together', () => {
    const random = below(seededNumbers(6))
    const slots = 6
    const state: State = newSchedule(slots, 20)
    /** What each slot of an arena would hold. */
    const held: string[] = []
    const alive = new Set<Item[]>()
    let together = 0
    let inFront = 0
    const move = (moves: ReadonlyArray<Move<Item>>): void => {
      for (const { item: { name, input, remaining }, from, to } of moves) {
        if (remaining < input) assert.equal(held[from], name)
        held[to] = held[from]!
      }
    }
    const end = (company: Item[]): void => {
      alive.delete(company)
      for (const each of company) move(remove(state, each))
    }
    for (let event = 0; event < 20_000; event++) {
      if (random(3) === 0 && alive.size < 12) {
        const fresh = item(event, 1 + random(random(3) === 0 ? 700 : 60), { tenant: `t${random(3)}`, members: random(2) === 0 ? 1 : 2 + random(4), keeps: random(3) > 0 })
        alive.add(fresh.company)
        enqueue(state, state.waiting, fresh)
      }
      const step = nextStep(state)
      const moves = begin(state, step)
      if (moves.length > 1) inFront++
      move(moves)
      if (step.kind === 'decode') {
        for (const pair of step.exchanges) {
          exchange(state, pair)
          const [a, b] = pair
          ;[held[a], held[b]] = [held[b], held[a]]
        }
      }
      complete(state, step)
      if (step.kind === 'prefill') {
        held[step.slot] = step.item.name
        if (step.item.remaining === 0) move(goOn(state, step.item))
      } else if (step.kind === 'decode') {
        const decoded = new Set(state.rows.slice(0, step.rows))
        for (const { company } of decoded) {
          assert.ok(company.every(each => decoded.has(each) && each.remaining === 0 && each.inputsToCome === 0))
          if (company.length > 1) together++
        }
        const chosen = [...decoded][random(decoded.size * 4)]
        if (chosen !== undefined) end(chosen.company)
      } else assert.equal(alive.size, 0)
      if (random(30) === 0 && alive.size > 0) end([...alive][random(alive.size)]!)
      const last = state.rows.at(-1)
      const firstThatWaits = state.rows.findIndex(row => row.remaining > 0 || row.inputsToCome > 0)
      for (const [slot, row] of state.rows.entries()) {
        if (row.remaining < row.input) assert.equal(held[slot], row.name)
        if (row.remaining > 0) assert.equal(row, last)
        if (firstThatWaits !== -1 && slot >= firstThatWaits) assert.equal(row.company, last!.company)
      }
      assert.ok(state.rows.reduce((used, row) => used + 1 + row.rowsToCome, 0) <= slots)
    }
    assert.ok(together > 1000 && inFront > 100, `${together} steps of rows that waited for each other, ${inFront} inputs in front of such that wait`)
  })
})
