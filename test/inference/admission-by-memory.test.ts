import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { digestOf } from '../../src/digest.js'
import { ServiceError } from '../../src/errors.js'
import { bytesHeld, hold, type Hold, type PromptMemory } from '../../src/inference/admission-by-memory.js'

const LIMIT = 100

const newMemory = (): PromptMemory => ({ limit: LIMIT, slots: 2, holds: new Set() })
const wish = (arrival: number, tenant: string, bytes: number, key = `${arrival}`): Hold => ({ key: digestOf(key), bytes, arrival, tenant })
const saturated = (error: unknown): boolean => error instanceof ServiceError && error.code === 'saturated'

let arrivals = 0

/** Different prompts of one byte until one is refused; answers how many. */
function flood (memory: PromptMemory, tenant: string): number {
  for (let count = 0; ; count++) {
    try {
      hold(memory, wish(arrivals++, tenant, 1))
    } catch (error) {
      assert.ok(saturated(error))
      return count
    }
    assert.ok(bytesHeld(memory) <= LIMIT)
  }
}

suite('admission by memory', () => {
  test('one tenant has half, others get what it leaves, and none is kept out', () => {
    const memory = newMemory()
    assert.deepEqual(['a', 'b', 'c', 'd'].map(tenant => flood(memory, tenant)), [50, 25, 13, 6])
    assert.deepEqual(['a', 'b', 'c', 'd'].map(tenant => flood(memory, tenant)), [0, 0, 0, 0])
    hold(memory, wish(arrivals++, 'quiet', 3))
    assert.equal(bytesHeld(memory), 97)
  })

  test('a refusal has the numbers and a time to come back, and holds nothing', () => {
    const memory = newMemory()
    for (let arrival = 0; arrival < 5; arrival++) hold(memory, wish(arrival, 'a', 8))
    hold(memory, wish(5, 'b', 10))
    assert.throws(() => { hold(memory, wish(6, 'a', 20)) }, (error: unknown) => saturated(error) && (error as ServiceError).retryAfter === 3 &&
      (error as ServiceError).message === 'prompts of 6 requests that wait take 50 bytes, 40 of this tenant, and this one 20 more, limit 100')
    assert.deepEqual([memory.holds.size, bytesHeld(memory)], [6, 50])
  })

  test('what is let go is free again', () => {
    const memory = newMemory()
    const first = wish(0, 'a', 40)
    hold(memory, first)
    assert.throws(() => { hold(memory, wish(1, 'a', 40)) }, saturated)
    memory.holds.delete(first)
    hold(memory, wish(1, 'a', 40))
    assert.equal(bytesHeld(memory), 40)
  })

  test('many requests to one prompt take its bytes once', () => {
    const memory = newMemory()
    for (let arrival = 0; arrival < 1000; arrival++) hold(memory, wish(arrival, arrival % 2 === 0 ? 'a' : 'b', 60, 'same'))
    assert.equal(bytesHeld(memory), 60)
    assert.throws(() => { hold(memory, wish(1000, 'a', 1, 'other')) }, saturated)
    hold(memory, wish(1000, 'c', 40, 'other'))
  })

  test('a request alone is let in with all it needs, and nobody beside it', () => {
    const memory = newMemory()
    hold(memory, wish(0, 'a', 150, 'first'))
    hold(memory, wish(0, 'a', 150, 'second'))
    assert.throws(() => { hold(memory, wish(1, 'b', 1)) }, saturated)
    assert.equal(bytesHeld(memory), 300)
  })

  test('parts of a request count together: they may be as much as others leave free', () => {
    const memory = newMemory()
    hold(memory, wish(0, 'a', 20))
    for (const part of ['1', '2', '3', '4']) hold(memory, wish(1, 'b', 20, part))
    assert.throws(() => { hold(memory, wish(1, 'b', 1, '5')) }, saturated)
    assert.equal(bytesHeld(memory), LIMIT)
  })
})
