import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { BeamSearch, candidatesOf } from '../../src/inference/beam-search.js'
import type { BeamAnswer, BeamWork } from '../../src/inference/protocol.js'
import { seededNumbers } from '../support/numbers.js'

const WORK: BeamWork = { kind: 'beams', maxTokens: 3, stopTokenIds: [0], beams: 2, answers: 2, lengthPenalty: 1, earlyStopping: false }

/** Scores of the next token behind a text. */
type Model = (ids: readonly number[]) => Float32Array

function search (model: Model, work: BeamWork): { answers: readonly BeamAnswer[], steps: number } {
  const beams = new BeamSearch(work)
  let texts: number[][] = [[]]
  for (let steps = 1; ; steps++) {
    if (beams.step(rank => model(texts[rank]!))) return { answers: beams.answers, steps }
    const before = texts
    texts = Array.from({ length: beams.running }, (_, rank) => [...before[beams.parents[rank]!]!, beams.tokens[rank]!])
  }
}

/** Probabilities by text, ids 0 .. 4; a text that is not named ends. */
function table (rows: Record<string, readonly number[]>): Model {
  return ids => Float32Array.from(rows[ids.join('')] ?? [0.96, 0.01, 0.01, 0.01, 0.01], Math.log)
}

function close (answers: readonly BeamAnswer[], expected: ReadonlyArray<readonly [ids: number[], score: number, reason: 'stop' | 'length']>): void {
  assert.deepEqual(answers.map(({ ids, reason }) => [ids, reason]), expected.map(([ids, , reason]) => [ids, reason]))
  for (const [place, { score }] of answers.entries()) assert.ok(Math.abs(score - expected[place]![1]) < 1e-6, `${place}: ${score}`)
}

/** The same text has the same scores again. */
function randomModel (vocabulary: number, random: () => number): Model {
  const scores = new Map<string, Float32Array>()
  return ids => {
    const known = scores.get(ids.join()) ?? Float32Array.from({ length: vocabulary }, () => 3 * random())
    scores.set(ids.join(), known)
    return known
  }
}

const endless: Model = () => Float32Array.from([0.001, 0.6, 0.3, 0.05, 0.049], Math.log)

suite('beam search', () => {
  const greedyTrap = table({ '': [0.05, 0.5, 0.4, 0.03, 0.02], 1: [0.05, 0.3, 0.25, 0.2, 0.2], 2: [0.9, 0.04, 0.03, 0.02, 0.01], 11: [0.2, 0.2, 0.2, 0.2, 0.2] })

  test('finds what greedy decoding misses; the end token counts in the score', () => {
    const { answers } = search(greedyTrap, WORK)
    close(answers.slice(0, 1), [[[2], Math.log(0.4 * 0.9) / 2, 'stop']])
  })

  test('takes an answer that ends among the first candidates alone', () => {
    // The end is the third best continuation of two beams: it is not taken, its beam runs on.
    const model = table({ '': [0.2, 0.4, 0.3, 0.06, 0.04] })
    const { answers } = search(model, WORK)
    close(answers, [[[1], Math.log(0.4 * 0.96) / 2, 'stop'], [[2], Math.log(0.3 * 0.96) / 2, 'stop']])
  })

  test('a length penalty above 1 prefers long answers, a negative one short ones', () => {
    const model = table({ '': [0.55, 0.43, 0.01, 0.005, 0.005], 1: [0.5, 0.48, 0.01, 0.005, 0.005], 11: [0.94, 0.03, 0.01, 0.01, 0.01] })
    const first = (lengthPenalty: number): readonly number[] => search(model, { ...WORK, lengthPenalty }).answers[0]!.ids
    assert.deepEqual(first(0), [])
    assert.deepEqual(first(3), [1, 1])
    assert.deepEqual(first(-1), [])
  })

  test('early stopping ends with the answers that are there, false when no running beam is better now, never when none can become better', () => {
    const random = seededNumbers(3)
    let [sooner, later, better] = [0, 0, 0]
    for (let round = 0; round < 50; round++) {
      const model = randomModel(8, random)
      const found = ([true, false, 'never'] as const).map(earlyStopping => search(model, { ...WORK, maxTokens: 8, lengthPenalty: 2, earlyStopping }))
      const [first, second, third] = found.map(({ steps }) => steps) as [number, number, number]
      const [low, middle, high] = found.map(({ answers }) => answers[0]!.score) as [number, number, number]
      assert.ok(first <= second && second <= third && low <= middle && middle <= high, `${first} ${second} ${third}: ${low} ${middle} ${high}`)
      if (first < second) sooner++
      if (second < third) later++
      if (low < high) better++
    }
    assert.ok(sooner > 0 && later > 0 && better > 0, `${sooner} ${later} ${better}`)
  })

  test('what has not ended at the limit is answered as it is', () => {
    close(search(endless, { ...WORK, maxTokens: 2 }).answers, [[[1, 1], Math.log(0.36) / 2, 'length'], [[1, 2], Math.log(0.18) / 2, 'length']])
  })

  test('equal scores go by the lower id and the better beam', () => {
    close(search(() => new Float32Array(5), { ...WORK, maxTokens: 2, stopTokenIds: [4] }).answers, [[[0, 0], Math.log(1 / 25) / 2, 'length'], [[0, 1], Math.log(1 / 25) / 2, 'length']])
  })

  test('with as many beams as there are texts it is the exhaustive search', () => {
    const random = seededNumbers(11)
    const model = randomModel(40, random)
    const logprobs = (ids: readonly number[]): number[] => {
      const logits = model(ids)
      const norm = Math.log(logits.reduce((total, logit) => total + Math.exp(logit), 0))
      return Array.from(logits, logit => logit - norm)
    }
    // Two tokens, of which the first is one of the 16 best.
    const texts = logprobs([]).map((sum, id) => ({ id, sum })).sort((a, b) => b.sum - a.sum).slice(0, 16)
      .flatMap(({ id, sum }) => logprobs([id]).map((next, second) => ({ ids: [id, second], score: (sum + next) / 2 })))
      .sort((a, b) => b.score - a.score).slice(0, 16)
    close(search(model, { ...WORK, beams: 16, stopTokenIds: [], maxTokens: 2 }).answers, texts.map(({ ids, score }) => [ids, score, 'length'] as const))
  })

  test('looks at enough continuations for every beam to run on', () => {
    assert.deepEqual([candidatesOf({ beams: 4, stopTokenIds: [] }), candidatesOf({ beams: 4, stopTokenIds: [7] }), candidatesOf({ beams: 4, stopTokenIds: [7, 8, 8] })], [8, 8, 12])
  })
})
