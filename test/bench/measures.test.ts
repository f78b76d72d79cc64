/** What the serving benchmarks compute from times. */
import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { measured, missed } from '../../bench/serving/outcome.js'
import { FastestOf } from '../../bench/serving/fastest-of.js'
import { LLAMA_Q8 } from '../../bench/serving/peers.js'
import { servingCases, VIRTUAL_TOKENS } from '../../bench/serving/cases.js'
import { WITH_PROMPTS, WITHOUT_PROMPTS } from '../../bench/serving/own-engine.js'
import { decodeRate, firstTokenMs, type Run, type Subject, wholeRate } from '../../bench/serving/subject.js'
import { inTurn, median, medianRatio, percentile } from '../../bench/statistics.js'

/** `count` times from `from`, `step` apart. */
function times (from: number, step: number, count: number): number[] {
  return Array.from({ length: count }, (_, i) => from + step * i)
}

function run (tokens: number[][], begunAt = 0): Run {
  return { begunAt, tokens, ids: tokens }
}

suite('statistics', () => {
  test('median of odd and even counts', () => {
    assert.equal(median([3, 1, 2]), 2)
    assert.equal(median([4, 1, 2, 3]), 2.5)
    assert.throws(() => median([]), RangeError)
  })
  test('percentiles are numbers that were measured', () => {
    const numbers = times(1, 1, 20).reverse()
    assert.equal(percentile(numbers, 0.5), 10)
    assert.equal(percentile(numbers, 0.95), 19)
    assert.equal(percentile(numbers, 1), 20)
    assert.equal(percentile([7], 0), 7)
    assert.throws(() => percentile([], 0.5), RangeError)
  })
  test('ratios are taken round by round', () => {
    // The second round was ten times slower for both.
    assert.equal(medianRatio([10, 1, 10], [5, 0.5, 5]), 2)
    assert.equal(medianRatio([1, 100, 4], [1, 50, 2]), 2)
  })
  test('the order is swapped from round to round', () => {
    assert.deepEqual([0, 1, 2].map(round => inTurn(['a', 'b'], round)), [['a', 'b'], ['b', 'a'], ['a', 'b']])
  })
})

suite('rates of rows that decode together', () => {
  test('one row: tokens but the first by the time between', () => {
    assert.equal(decodeRate(run([times(50, 10, 11)])), 100)
  })
  test('only while all decode: what a row did before the last was taken in does not count', () => {
    // Alone the first row takes 10 ms a token, in company 40.
    const alone = times(0, 10, 5)
    const together = times(100, 40, 6)
    assert.equal(decodeRate(run([[...alone, ...together], together.map(time => time + 1e-6)])).toFixed(3), '50.000')
  })
  test('rows that take turns are no common decoding', () => {
    assert.throws(() => decodeRate(run([times(0, 1, 5), times(10, 1, 5)])), /same time/)
  })
  test('rows that are said to be answered one after another: the time in which none decodes does not count', () => {
    assert.equal(decodeRate({ ...run([times(50, 10, 11), times(1000, 20, 11)]), oneAfterAnother: true }).toFixed(3), (20 / 0.3).toFixed(3))
  })
  test('all tokens by the time from the requests to the last of them', () => {
    assert.equal(wholeRate(run([times(50, 10, 6), times(60, 10, 5)], 20)), 1000 * 11 / 80)
  })
  test('the first token of any row, from the beginning', () => {
    assert.equal(firstTokenMs(run([[30, 40], [25, 45]], 5)), 20)
  })
})

suite('variants of a peer', () => {
  test('each load goes to the one that answered one row of it fastest', async () => {
    const asked: string[] = []
    // Long inputs are quick for the one, many tokens for the other.
    const variant = (name: string, each: number, input: number): Subject & { versions: Record<string, string> } => ({
      name,
      versions: {},
      async run ({ rows, maxTokens }) {
        asked.push(`${name}: ${rows.length}`)
        return run([times(rows[0]!.input.length * input, each, maxTokens)])
      },
      async close () {}
    })
    const peer = new FastestOf('peer', [variant('a', 1, 5), variant('b', 3, 1)])
    const row = { prompt: 0, context: [], input: [1, 2, 3] }
    const [short, long] = [{ rows: [row, row], maxTokens: 2 }, { rows: [row, row], maxTokens: 50 }]
    for (const load of [short, long]) await peer.run(load)
    asked.length = 0
    for (const load of [short, long, short]) await peer.run(load)
    assert.deepEqual(asked, ['b: 2', 'a: 2', 'b: 2'])
    assert.deepEqual(peer.choices.get(short), { variant: 'b', milliseconds: { a: 16, b: 6 } })
  })
})

suite('cases and outcome', () => {
  const text = times(100, 1, 3000)

  test('each row has its own prompt, and text as long in its place', () => {
    for (const { load: { rows } } of servingCases(text)) {
      assert.deepEqual(rows.map(({ prompt }) => prompt), rows.map((_, index) => index))
      for (const { context } of rows) assert.equal(context.length, VIRTUAL_TOKENS)
      assert.equal(new Set(rows.map(({ input }) => input[0])).size, rows.length)
    }
  })
  test('a ratio beyond its bound is named, one of a subject that is absent is not', () => {
    const [decode] = servingCases(text)
    const slow = measured(decode!, { [WITH_PROMPTS]: [90, 9, 90], [WITHOUT_PROMPTS]: [100, 10, 100] })
    assert.deepEqual(slow.ratios, { [WITHOUT_PROMPTS]: 0.9 })
    assert.deepEqual(missed([slow]), ['decode of 1 row: 0.90 of no prompts, wanted >= 0.97'])
    assert.deepEqual(missed([measured(decode!, { [WITH_PROMPTS]: [98], [WITHOUT_PROMPTS]: [100] })]), [])
  })
  test('times are bounded from above', () => {
    const prefill = servingCases(text).find(({ unit }) => unit === 'ms')!
    const [other] = Object.keys(prefill.wanted)
    assert.equal(missed([measured(prefill, { [WITH_PROMPTS]: [71], [other!]: [100] })]).length, 1)
    assert.equal(missed([measured(prefill, { [WITH_PROMPTS]: [70], [other!]: [100] })]).length, 0)
  })
  test('a peer counts with the threads that suit it best in each case', () => {
    const [decode, prefill] = [servingCases(text)[0]!, servingCases(text).find(({ unit }) => unit === 'ms')!]
    const rounds = { [WITH_PROMPTS]: [100], [`${LLAMA_Q8}, 1 thread`]: [50], [`${LLAMA_Q8}, 2 threads`]: [80] }
    assert.deepEqual(measured(decode, rounds).ratios, { [LLAMA_Q8]: 1.25 })
    assert.deepEqual(measured(prefill, rounds).ratios, { [LLAMA_Q8]: 2 })
  })
})
