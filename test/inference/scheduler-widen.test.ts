import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { begin, complete, newSchedule, nextStep, remove, type Schedulable, type Schedule, widen } from '../../src/inference/scheduler.js'

interface Item extends Schedulable { readonly name: string, readonly tenant: string, passed: number, rowsToCome: number }

function item (name: string, arrival: number, remaining: number, rowsToCome = 0): Item {
  return { name, arrival, tenant: 't', weight: 1, mayLeave: false, length: 0, passed: 0, remaining, rowsToCome, inputsToCome: 0 }
}

type State = Schedule<Item, Item>

/** Run the next step, in words. */
function runStep (state: State): string {
  const step = nextStep(state)
  begin(state, step)
  complete(state, step)
  switch (step.kind) {
    case 'prefill': return `prefill ${step.item.name} in ${step.slot}`
    case 'decode': return `decode ${step.rows}`
    default: return step.kind
  }
}

const names = (state: State): string => state.rows.map(row => row.name).join(' ')

suite('rows that come of a row', () => {
  test('have their slots kept: what needs more waits, and what does not fit beside them too', () => {
    const state: State = newSchedule(4, 10)
    state.waiting.push(item('a', 0, 5), item('wide', 1, 5, 3), item('b', 2, 5))
    assert.equal(runStep(state), 'prefill a in 0')
    // Three slots are free, it needs four; what came after it does not get one of them.
    assert.deepEqual([runStep(state), runStep(state)], ['decode 1', 'decode 1'])
    remove(state, state.rows[0]!)
    assert.equal(runStep(state), 'prefill wide in 0')
    const [wide] = state.rows as [Item]
    wide.rowsToCome = 0
    assert.deepEqual(widen(state, [item('w1', 1, 0), item('w2', 1, 0), item('w3', 1, 0)]), [])
    assert.deepEqual([names(state), runStep(state)], ['wide w1 w2 w3', 'decode 4'])
    assert.deepEqual(remove(state, state.rows[1]!).map(({ item: { name }, from, to }) => [name, from, to]), [['w3', 3, 1]])
    assert.equal(runStep(state), 'prefill b in 3')
  })

  test('are put in front of a row that takes its input in, which moves behind them', () => {
    const state: State = newSchedule(4, 10)
    state.rows.push(item('lead', 0, 0), item('long', 1, 500))
    assert.deepEqual(widen(state, [item('follower', 0, 0)]), [{ item: state.rows.at(-1), from: 1, to: 2 }])
    assert.equal(names(state), 'lead follower long')
  })
})
