import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { softmax } from '../../src/inference/classify.js'
import { MeanLogProbabilities } from '../../src/inference/mean-log-probabilities.js'

const close = (actual: Iterable<number>, expected: readonly number[]): void => {
  const values = [...actual]
  assert.equal(values.length, expected.length)
  for (const [index, value] of values.entries()) assert.ok(Math.abs(value - expected[index]!) < 1e-12, `${values} against ${expected}`)
}

suite('mean log-probabilities', () => {
  test('are the logarithms of the geometric means of the probabilities, whatever the level of the scores', () => {
    const votes = new MeanLogProbabilities(3)
    votes.add([Math.log(0.5), Math.log(0.3), Math.log(0.2)])
    votes.add([1000 + Math.log(0.8), 1000 + Math.log(0.1), 1000 + Math.log(0.1)])
    close(votes.take(new Float64Array(3)), [Math.log(Math.sqrt(0.4)), Math.log(Math.sqrt(0.03)), Math.log(Math.sqrt(0.02))])
  })

  test('of members that agree are those of each', () => {
    const votes = new MeanLogProbabilities(2)
    for (let member = 0; member < 5; member++) votes.add(Float32Array.of(1, 3))
    close(softmax([...votes.take(new Float64Array(2))]), softmax([1, 3]))
  })

  test('begin anew after each vote', () => {
    const votes = new MeanLogProbabilities(2)
    votes.add([5, 0])
    votes.take(new Float64Array(2))
    votes.add([0, 0])
    close(votes.take(new Float64Array(2)), [-Math.LN2, -Math.LN2])
  })
})
