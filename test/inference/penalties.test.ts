import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { PenalisedTokens } from '../../src/inference/penalties.js'
import { tinyBase } from './tiny-base.js'
import { collect, generate, tinyService, tokenIds, untimed } from './tiny-service.js'

const NONE = { repetition: 1, presence: 0, frequency: 0 }
const SCORES = [3, -2, 0, 1.5, -0.25, 4]

function lowered (tokens: PenalisedTokens): number[] {
  const logits = Float32Array.from(SCORES)
  tokens.lower(logits)
  const result = [...logits]
  tokens.restore(logits)
  assert.deepEqual([...logits], SCORES)
  return result
}

suite('penalties', () => {
  test('repetition divides positive scores and multiplies negative ones, once for each token of input and answer', () => {
    const tokens = new PenalisedTokens({ ...NONE, repetition: 2 }, [1, 3, 3], 4)
    assert.deepEqual(lowered(tokens), [3, -4, 0, 0.75, -0.25, 4])
    for (const id of [5, 5, 2, 1]) tokens.add(id)
    assert.deepEqual(lowered(tokens), [3, -4, 0, 0.75, -0.25, 2])
  })

  test('a repetition penalty is a float32, as in the reference', () => {
    const logits = Float32Array.of(1)
    new PenalisedTokens({ ...NONE, repetition: 1.3 }, [0], 0).lower(logits)
    assert.equal(logits[0], Math.fround(1 / Math.fround(1.3)))
  })

  test('a repetition penalty below 1 prefers what was there', () => {
    assert.deepEqual(lowered(new PenalisedTokens({ ...NONE, repetition: 0.5 }, [0, 1], 0)), [6, -1, 0, 1.5, -0.25, 4])
  })

  test('presence is subtracted once, frequency for each time, of the answer alone', () => {
    const tokens = new PenalisedTokens({ ...NONE, presence: 0.5, frequency: 0.25 }, [0, 1, 2, 3, 4, 5], 4)
    assert.deepEqual(lowered(tokens), SCORES)
    for (const id of [5, 0, 5, 5]) tokens.add(id)
    assert.deepEqual(lowered(tokens), [2.25, -2, 0, 1.5, -0.25, 2.75])
  })

  test('repetition comes before the other two', () => {
    const tokens = new PenalisedTokens({ repetition: 2, presence: 0.5, frequency: 1 }, [1], 1)
    tokens.add(0)
    assert.deepEqual(lowered(tokens), [0, -4, 0, 1.5, -0.25, 4])
  })

  test('an answer is the best of the lowered scores at each step, its log-probabilities are of the raw ones', async () => {
    const { base, dispose } = await tinyBase({})
    const service = await tinyService(base)
    try {
      const penalties = { repetition: 1, presence: 0.3, frequency: 0.2 }
      const events = await collect(service, generate([5, 9, 200], { maxTokens: 60, penalties, logprobs: 20 }))
      const said: number[] = []
      for (const event of events) {
        if (event.type !== 'token') continue
        const scores = event.top!.map(([id, logprob]) => {
          const times = said.filter(one => one === id).length
          return { id, score: logprob - (times === 0 ? 0 : penalties.presence + penalties.frequency * times), logprob }
        })
        const best = scores.reduce((a, b) => b.score > a.score ? b : a)
        assert.deepEqual([event.id, event.logprob], [best.id, best.logprob])
        said.push(event.id)
      }
      assert.equal(said.length, 60)
      const plain = tokenIds(await collect(service, generate([5, 9, 200], { maxTokens: 60 })))
      assert.notDeepEqual(said, plain)
      // Nothing to penalise: to the bit as without.
      const neutral = await collect(service, generate([5, 9, 200], { maxTokens: 60, penalties: NONE, logprobs: 20 }))
      assert.deepEqual(untimed(neutral), untimed(await collect(service, generate([5, 9, 200], { maxTokens: 60, logprobs: 20 }))))
    } finally {
      await service.stop(0)
      await dispose()
    }
  })
})
