/** What the serving benchmarks compute from times. */
import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { measured, missed } from '../../bench/serving/outcome.js'
import { LLAMA_Q8 } from '../../bench/serving/peers.js'
import { servingCases, VIRTUAL_TOKENS } from '../../bench/serving/cases.js'
import { WITH_PROMPTS, WITHOUT_PROMPTS } from '../../bench/serving/own-engine.js'
import { decodeRate, firstTokenMs } from '../../bench/serving/subject.js'
import { inTurn, median, medianRatio, percentile } from '../../bench/statistics.js'

/** `count` times from `from`, `step` apart. */
function times (from: number, step: number, count: number): number[] {
  return Array.from({ length: count }, (_, i) => from + step * i)
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
    assert.equal(decodeRate({ begunAt: 0, tokens: [times(50, 10, 11)] }), 100)
  })
  test('only while all decode: what a row did before the last was taken in does not count', () => {
    // Alone the first row takes 10 ms a token, in company 40.
    const alone = times(0, 10, 5)
    const together = times(100, 40, 6)
    assert.equal(decodeRate({ begunAt: 0, tokens: [[...alone, ...together], together.map(time => time + 1e-6)] }).toFixed(3), '50.000')
  })
  test('rows that take turns are no common decoding', () => {
    assert.throws(() => decodeRate({ begunAt: 0, tokens: [times(0, 1, 5), times(10, 1, 5)] }), /same time/)
  })
  test('the first token of any row, from the beginning', () => {
    assert.equal(firstTokenMs({ begunAt: 5, tokens: [[30, 40], [25, 45]] }), 20)
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
