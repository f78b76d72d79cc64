import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { ServiceError } from '../../src/errors.js'
import { admit, withdraw } from '../../src/inference/admission.js'
import { enqueue } from '../../src/inference/scheduler.js'
import { item, newState, runStep, type State } from './schedule-driver.js'

let arrivals = 0

/** Let requests of a tenant in until it is refused; answers how many. */
function flood (state: State, tenant: string): number {
  let count = 0
  for (;;) {
    const arrival = arrivals++
    try {
      admit(state, arrival, tenant)
    } catch (error) {
      assert.ok(error instanceof ServiceError && error.code === 'saturated')
      return count
    }
    count++
    // Some still load their prompts.
    if (count % 2 === 0) continue
    state.loading.delete(arrival)
    enqueue(state, state.waiting, item(arrival, 3, { tenant }))
  }
}

suite('admission', () => {
  test('free slots, then the queue, then a refusal with a time to come back', () => {
    const state = newState(2, 3)
    for (let arrival = 0; arrival < 5; arrival++) admit(state, arrival, 'a')
    assert.throws(() => admit(state, 5, 'a'), (error: unknown) => error instanceof ServiceError && error.code === 'saturated' && error.retryAfter === 3 && error.message === '0 sequences run and 5 wait, 5 of this tenant, limit 3')
    withdraw(state, 2)
    admit(state, 5, 'a')
    assert.throws(() => admit(state, 6, 'a'))
  })

  test('rows that run do not wait', () => {
    const state = newState(2, 3)
    assert.equal(flood(state, 'a'), 5)
    while (state.rows.length < 2) runStep(state)
    assert.equal(flood(state, 'a'), 0)
  })

  test('without a queue nothing waits', () => {
    const state = newState(1, 0)
    enqueue(state, state.waiting, item(0, 3))
    runStep(state)
    assert.throws(() => admit(state, 1, 'b'))
  })

  test('a tenant that filled the queue keeps nobody out, nor do many such tenants', () => {
    const state = newState(1, 256)
    enqueue(state, state.waiting, item(0, 3))
    runStep(state)
    assert.deepEqual(['a', 'b', 'c', 'd'].map(tenant => flood(state, tenant)), [256, 86, 43, 26])
    for (let tenant = 0; tenant < 20; tenant++) flood(state, `flood ${tenant}`)
    admit(state, arrivals++, 'quiet')
    assert.ok(state.waiting.length + state.loading.size <= 512)
  })

  test('whoever let others in is refused until the queue is below its limit again', () => {
    const state = newState(1, 16)
    enqueue(state, state.waiting, item(0, 3))
    runStep(state)
    assert.equal(flood(state, 'a'), 16)
    const other = arrivals++
    admit(state, other, 'b')
    assert.equal(flood(state, 'a'), 0)
    withdraw(state, other)
    assert.equal(flood(state, 'a'), 0)
    state.waiting.pop()
    assert.equal(flood(state, 'a'), 1)
  })
})
