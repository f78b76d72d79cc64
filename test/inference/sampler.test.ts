import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { philox, uniform } from '../../src/inference/philox.js'
import type { Sampling } from '../../src/inference/protocol.js'
import { argmax, chooseToken, logProbabilities } from '../../src/inference/sampler.js'
import { weightOf } from '../../src/inference/tempered.js'
import { topShare } from '../../src/inference/top-share.js'
import { topTokens } from '../../src/inference/top-tokens.js'
import { seededNumbers } from '../support/numbers.js'

const SAMPLING: Sampling = { temperature: 1, topK: 0, topP: 1, minP: 0, seed: 7 }
const probabilities = [0.4, 0.3, 0.15, 0.1, 0.05]
// Shuffled, so that order by id and order by probability differ.
const ORDER = [3, 0, 4, 1, 2]
const logits = new Float32Array(5)
for (const [rank, id] of ORDER.entries()) logits[id] = Math.log(probabilities[rank]!)

const hex = (words: readonly number[]): string => words.map(word => word.toString(16).padStart(8, '0')).join(' ')

/** How often each id was drawn in `draws` steps. */
function frequencies (sampling: Sampling, draws = 20_000): number[] {
  const counts = Array.from(logits, () => 0)
  for (let step = 0; step < draws; step++) counts[chooseToken(logits, sampling, step)]!++
  return ORDER.map(id => counts[id]! / draws)
}

function close (found: readonly number[], expected: readonly number[]): void {
  // Four standard deviations of 20,000 draws at p = 0.5.
  for (const [index, frequency] of found.entries()) assert.ok(Math.abs(frequency - expected[index]!) < 0.0142, `${found.join()} against ${expected.join()}`)
}

suite('sampler', () => {
  test('the generator gives the published known answers', () => {
    const ones = 0xffff_ffff
    assert.equal(hex(philox([0, 0, 0, 0], [0, 0])), '6627e8d5 e169c58d bc57ac4c 9b00dbd8')
    assert.equal(hex(philox([ones, ones, ones, ones], [ones, ones])), '408f276d 41c83b0e a20bc7c6 6d5451fd')
    assert.equal(hex(philox([0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344], [0xa4093822, 0x299f31d0])), 'd16cfe09 94fdcceb 5001e420 24126ea1')
  })

  test('draws depend on seed, step and sample alone and differ between them', () => {
    assert.equal(uniform(3, 5), uniform(3, 5))
    const draws = [uniform(3, 5), uniform(3, 6), uniform(4, 5), uniform(3 + 2 ** 40, 5), uniform(3, 5, 1), uniform(3, 5, 2)]
    assert.equal(new Set(draws).size, 6)
    assert.equal(uniform(3, 5, 0), uniform(3, 5))
    assert.ok(draws.every(draw => draw >= 0 && draw < 1))
  })

  test('greedy takes the largest score and of equal ones the lowest id', () => {
    assert.equal(argmax(Float32Array.of(1, 3, 2, 3)), 1)
    for (let length = 1; length <= 9; length++) {
      for (let place = 0; place < length; place++) {
        const scores = Float32Array.from({ length }, (_, id) => id === place || id === place + 1 ? -1 : -2 - id % 3)
        assert.equal(argmax(scores), place)
      }
    }
    assert.equal(chooseToken(Float32Array.of(-1, -3, -1), { ...SAMPLING, temperature: 0 }, 0), 0)
  })

  test('top tokens are those of a full sort', () => {
    const random = seededNumbers(2)
    // Rounded, so that many are equal.
    const scores = Float32Array.from({ length: 500 }, () => Math.round(random() * 50))
    const sorted = [...scores.keys()].sort((a, b) => scores[b]! - scores[a]! || a - b)
    // Few are kept in a heap, many sorted.
    for (const count of [0, 1, 2, 20, 300, 499, 500, 600]) assert.deepEqual(topTokens(scores, count), sorted.slice(0, count))
  })

  test('samples of one seed draw the softmax, each for itself', () => {
    const counts = Array.from(logits, () => 0)
    for (let sample = 0; sample < 20_000; sample++) counts[chooseToken(logits, { ...SAMPLING, sample }, 0)]!++
    close(ORDER.map(id => counts[id]! / 20_000), probabilities)
  })

  test('temperature 1 draws the softmax', () => {
    close(frequencies(SAMPLING), probabilities)
  })

  test('a temperature divides the scores', () => {
    const weights = probabilities.map(p => p ** 2)
    const total = weights.reduce((a, b) => a + b)
    close(frequencies({ ...SAMPLING, temperature: 0.5 }), weights.map(weight => weight / total))
  })

  test('top-k keeps the k best', () => {
    close(frequencies({ ...SAMPLING, topK: 2 }), [4 / 7, 3 / 7, 0, 0, 0])
    close(frequencies({ ...SAMPLING, topK: 1 }), [1, 0, 0, 0, 0])
    close(frequencies({ ...SAMPLING, topK: 100 }), probabilities)
  })

  test('top-p keeps the fewest that reach p', () => {
    close(frequencies({ ...SAMPLING, topP: 0.69 }), [4 / 7, 3 / 7, 0, 0, 0])
    close(frequencies({ ...SAMPLING, topP: 0.75 }), [40 / 85, 30 / 85, 15 / 85, 0, 0])
    close(frequencies({ ...SAMPLING, topP: 0.01 }), [1, 0, 0, 0, 0])
  })

  test('top-p counts among what top-k left', () => {
    // Of 0.4, 0.3, 0.15 the first has 47 %, the first two 82 %.
    close(frequencies({ ...SAMPLING, topK: 3, topP: 0.8 }), [4 / 7, 3 / 7, 0, 0, 0])
  })

  test('min-p keeps what has that share of the best', () => {
    close(frequencies({ ...SAMPLING, minP: 0.3 }), [40 / 85, 30 / 85, 15 / 85, 0, 0])
    close(frequencies({ ...SAMPLING, minP: 1 }), [1, 0, 0, 0, 0])
  })

  test('top-p of a large vocabulary is that of a full sort, added up from the best', () => {
    const random = seededNumbers(4)
    // Rounded, so that many are equal, and both zeros among them.
    const scores = Float32Array.from({ length: 5000 }, () => Math.round(8 * (random() + random() + random())) / 2)
    for (const temperature of [0.2, 1, 30]) {
      const tempered = { logits: scores, highest: Math.max(...scores), temperature }
      const total = scores.reduce((sum, _, id) => sum + weightOf(tempered, id), 0)
      const sorted = [...scores.keys()].sort((a, b) => scores[b]! - scores[a]! || a - b)
      for (const topP of [0.01, 0.3, 0.9, 0.999, 1 - 1e-15]) {
        let share = 0
        const last = sorted.findIndex(id => (share += weightOf(tempered, id)) >= topP * total)
        const expected = sorted.slice(0, last === -1 ? sorted.length : last + 1)
        assert.deepEqual(topShare(tempered, topP), expected, `temperature ${temperature}, top-p ${topP}`)
      }
    }
  })

  test('top-p reaches far into a flat distribution', () => {
    const flat = new Float32Array(400)
    const drawn = new Set<number>()
    for (let step = 0; step < 5000; step++) drawn.add(chooseToken(flat, { ...SAMPLING, topP: 0.5 }, step))
    assert.equal(drawn.size, 200)
    assert.equal(Math.max(...drawn), 199)
  })

  test('a temperature near zero is greedy and does not overflow', () => {
    assert.equal(chooseToken(Float32Array.of(1e4, -1e4, 1.0001e4), { ...SAMPLING, temperature: 1e-6 }, 3), 2)
  })

  test('log-probabilities are those of the raw scores', () => {
    const shifted = logits.map(logit => logit + 50)
    const { logprob, top } = logProbabilities(shifted, 4, 2)
    assert.ok(Math.abs(logprob - Math.log(0.15)) < 1e-5)
    assert.deepEqual(top.map(([id]) => id), [3, 0])
    assert.ok(Math.abs(top[0]![1] - Math.log(0.4)) < 1e-5)
    assert.deepEqual(logProbabilities(logits, 0, 0).top, [])
  })
})
