import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { PACK_INPUT_TOKENS, PACK_TOKENS, RUN_TOKENS, STEP_TOKENS } from '../../src/inference/chunks.js'
import { enqueue, nextStep, remove } from '../../src/inference/scheduler.js'
import { seededNumbers } from '../support/numbers.js'
import { below, inWords, item, type Item, newState, runStep, type State } from './schedule-driver.js'

const LANES = 4

function wait (state: State, ...items: Item[]): void {
  for (const each of items) enqueue(state, state.waiting, each)
}

function run (state: State, steps: number): string[] {
  return Array.from({ length: steps }, () => inWords(state))
}

function state (slots = 8): State {
  return newState(slots, 64, Infinity, LANES)
}

suite('packs', () => {
  test('short inputs that wait together are taken in together; one alone is a chunk', () => {
    const s = state()
    wait(s, ...[0, 1, 2, 3, 4].map(arrival => item(arrival, 10 + arrival)))
    assert.deepEqual(run(s, 3), ['pack s0,s1,s2,s3 from 0: 46', 'prefill s4 in 4: 14', 'decode s0,s1,s2,s3,s4'])
  })

  test('a longer input is none of it, and nobody goes before it for that', () => {
    const s = state()
    wait(s, item(0, 10), item(1, PACK_INPUT_TOKENS), item(2, PACK_INPUT_TOKENS + 1), item(3, 10), item(4, 10))
    assert.deepEqual(run(s, 2), [`pack s0,s1 from 0: ${10 + PACK_INPUT_TOKENS}`, `prefill s2 in 2: ${PACK_INPUT_TOKENS + 1}`])
  })

  test('a request of several rows is none of it', () => {
    for (const more of [{ rowsToCome: 1 }, { inputsToCome: 1 }]) {
      const s = state()
      wait(s, item(0, 10), { ...item(1, 10), ...more }, item(2, 10))
      assert.deepEqual(run(s, 1), ['prefill s0 in 0: 10'])
    }
  })

  test('tenants are served by their counters within a pack as one after another', () => {
    const s = state()
    wait(s, ...[0, 1, 2].map(arrival => item(arrival, 20, { tenant: 'a' })), item(3, 30, { tenant: 'b' }), item(4, 20, { tenant: 'b' }))
    assert.deepEqual(run(s, 1), ['pack s0,s3,s1,s4 from 0: 90'])
    assert.deepEqual([s.shares.counters.get('a'), s.shares.counters.get('b')], [40, 50])
  })

  test('it takes the slots and the tokens that there are', () => {
    const few = state(3)
    wait(few, ...[0, 1, 2, 3].map(arrival => item(arrival, 10)))
    assert.deepEqual(run(few, 2), ['pack s0,s1,s2 from 0: 30', 'decode s0,s1,s2'])

    const decoding = state()
    wait(decoding, item(0, 5))
    run(decoding, 2)
    wait(decoding, ...[1, 2, 3, 4, 5, 6, 7].map(arrival => item(arrival, 32)))
    assert.deepEqual(run(decoding, 3), [`pack s1,s2,s3,s4 from 1: ${PACK_TOKENS}`, 'decode s0,s1,s2,s3,s4', 'pack s5,s6,s7 from 5: 96'])
  })

  test('of a budget that is begun it takes what is left', () => {
    const s = state()
    wait(s, item(0, 5))
    run(s, 2)
    wait(s, item(1, 60))
    assert.deepEqual(run(s, 1), ['prefill s1 in 1: 60'])
    wait(s, ...[2, 3, 4].map(arrival => item(arrival, 20)))
    assert.equal(s.budget, STEP_TOKENS - 60 - RUN_TOKENS)
    assert.deepEqual(run(s, 2), ['pack s2,s3 from 2: 40', 'decode s0,s1,s2,s3'])
  })

  test('a row that takes its input in steps back behind all of it, and is next', () => {
    const s = state()
    const long = item(0, 600)
    wait(s, long)
    run(s, 2)
    wait(s, item(1, 10), item(2, 10, { output: 0 }))
    const step = nextStep(s)
    assert.equal(step.kind, 'pack')
    const { moves } = runStep(s)
    assert.deepEqual(moves, [{ item: long, from: 0, to: 2 }, { item: long, from: 2, to: 1 }])
    assert.deepEqual(s.rows.map(({ name }) => name), ['s1', 's0'])
    assert.deepEqual(run(s, 2), ['prefill s0 in 1: 88', 'decode s1,s0'])
  })

  test('those whose tenant was served more than that of a long input do not go before it', () => {
    const s = state()
    wait(s, item(0, 1000, { tenant: 'long' }))
    run(s, 2)
    wait(s, ...[1, 2, 3].map(arrival => item(arrival, 30, { tenant: 'other' })))
    s.shares.counters.set('other', s.shares.counters.get('long')! - 40)
    assert.deepEqual(run(s, 3), ['pack s1,s2 from 0: 60', 'decode s1,s2', 'prefill s0 in 2: 256'])
  })

  test('a failed pack leaves the others in their places', () => {
    const s = state()
    const long = item(0, 600)
    wait(s, long)
    run(s, 1)
    const shorts = [1, 2, 3].map(arrival => item(arrival, 10))
    wait(s, ...shorts)
    assert.deepEqual(run(s, 1), ['prefill s0 in 0: 256'])
    runStep(s)
    for (const each of shorts) remove(s, each)
    assert.deepEqual(s.rows, [long])
  })

  test('random traffic: whole inputs, short ones alone, within slots and tokens, and everybody is served', () => {
    const random = below(seededNumbers(12))
    const s = state(6)
    const alive = new Set<Item>()
    let packed = 0
    for (let event = 0; event < 20_000; event++) {
      if (random(3) === 0 && alive.size < 30) {
        const fresh = item(event, 1 + random(random(5) === 0 ? 700 : 40), { tenant: `t${random(10) < 7 ? 0 : 1 + random(3)}`, output: random(6) })
        alive.add(fresh)
        enqueue(s, random(9) === 0 ? s.compilations : s.waiting, fresh)
      }
      const budget = s.budget
      const decoding = s.rows.some(({ remaining }) => remaining === 0)
      const free = 6 - s.rows.length
      const waiting = new Set(s.waiting)
      const { step, ended } = runStep(s)
      if (step.kind === 'pack') {
        packed++
        assert.ok(step.items.length > 1 && step.items.length <= Math.min(LANES, free))
        assert.ok(step.items.every(each => waiting.has(each) && each.input <= PACK_INPUT_TOKENS && each.remaining === 0))
        assert.equal(step.tokens, step.items.reduce((sum, { input }) => sum + input, 0))
        assert.ok(step.tokens <= PACK_TOKENS)
        if (decoding && budget < STEP_TOKENS) assert.ok(step.cost <= budget)
      }
      for (const each of step.kind === 'compile' && step.item.remaining === 0 ? [step.item] : ended) alive.delete(each)
      for (const [slot, row] of s.rows.entries()) if (row.remaining > 0) assert.equal(slot, s.rows.length - 1)
      if (step.kind === 'idle') assert.equal(s.rows.length + s.waiting.length + s.compilations.length, 0)
    }
    while (alive.size > 0) {
      const { step, ended } = runStep(s)
      assert.notEqual(step.kind, 'idle')
      for (const each of step.kind === 'compile' && step.item.remaining === 0 ? [step.item] : ended) alive.delete(each)
    }
    assert.ok(packed > 200, `${packed} packs`)
  })
})
