import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import type { Example } from '../../workers/example.js'
import { createRandom } from '../../workers/random.js'
import { dropTokens } from '../../workers/token-dropout.js'

/** One token in front, a hundred of input, two of the template, three of the target. */
const EXAMPLE: Example = { ids: Array.from({ length: 106 }, (_, i) => i), targetStart: 103, input: [1, 101], label: null }

suite('dropTokens()', () => {
  test('leaves out the given share of the input and nothing else', () => {
    const random = createRandom(7, 3, 0)
    let dropped = 0
    for (let round = 0; round < 200; round++) {
      const { ids, targetStart, input } = dropTokens(EXAMPLE, 0.1, random)
      dropped += EXAMPLE.ids.length - ids.length
      assert.deepEqual(ids.slice(targetStart), [103, 104, 105])
      assert.deepEqual(ids.slice(input![1], targetStart), [101, 102])
      assert.equal(ids[0], 0)
      assert.deepEqual([...ids].sort((a, b) => a - b), ids)
    }
    // 20,000 draws: five standard deviations are 212.
    assert.ok(Math.abs(dropped - 2000) < 212, `${dropped} of 20,000 tokens were left out`)
  })

  test('keeps one token of an input that would vanish', () => {
    const short: Example = { ids: [5, 6, 9], targetStart: 3, input: [0, 2], label: 0 }
    for (let seed = 0; seed < 50; seed++) {
      const { ids, targetStart } = dropTokens(short, 0.9, createRandom(seed))
      assert.ok(ids.length >= 2 && ids.at(-1) === 9 && targetStart === ids.length)
    }
  })

  test('changes nothing without a rate, or for a row that does not know its input', () => {
    assert.equal(dropTokens(EXAMPLE, 0, createRandom(1)), EXAMPLE)
    const { input: _, ...unknown } = EXAMPLE
    assert.equal(dropTokens(unknown, 0.5, createRandom(1)), unknown)
  })
})
