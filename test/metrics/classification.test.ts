import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { accuracy } from '../../src/metrics/accuracy.js'
import { confusionMatrix } from '../../src/metrics/confusion-matrix.js'
import { exactMatch } from '../../src/metrics/exact-match.js'
import { macroF1 } from '../../src/metrics/macro-f1.js'

const expected = ['a', 'a', 'a', 'b', 'b', 'c']
const predicted = ['a', 'b', 'a', 'b', 'a', 'nonsense']

suite('classification metrics', () => {
  test('accuracy is the share of equal pairs', () => {
    assert.equal(accuracy(predicted, expected), 0.5)
    assert.throws(() => accuracy([], []), /0 predictions/)
  })

  test('the confusion matrix counts expected by predicted, with predictions outside the labels apart', () => {
    const matrix = confusionMatrix(['a', 'b', 'c'], predicted, expected)
    assert.deepEqual(matrix.counts, [[2, 1, 0], [1, 1, 0], [0, 0, 0]])
    assert.deepEqual(matrix.unknown, [0, 0, 1])
    assert.throws(() => confusionMatrix(['a'], ['a'], ['z']), /not among/)
  })

  test('macro F1 is the mean over the labels that occur', () => {
    // F1: a 4/6, b 2/4, c 0; d occurs nowhere and is left out.
    assert.ok(Math.abs(macroF1(confusionMatrix(['a', 'b', 'c', 'd'], predicted, expected)) - (4 / 6 + 2 / 4 + 0) / 3) < 1e-12)
  })

  test('exact match takes any reference and ignores surrounding white space', () => {
    assert.equal(exactMatch([' yes\n', 'no', 'Yes'], [['yes'], ['perhaps', 'no'], ['yes']]), 2 / 3)
  })
})
