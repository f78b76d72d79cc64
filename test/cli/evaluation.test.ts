import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { evaluate } from '../../src/cli/evaluation.js'

suite('evaluate()', () => {
  test('scores labels, by name or by words, and counts a row without an answer as wrong', () => {
    const rows = [{ input: '1', label: 'a' }, { input: '2', target: 'b' }, { input: '3', label: 'A1', target: 'a' }, { input: '4', label: 'b' }]
    const error = { code: 'context_too_long', message: '' }
    const { metrics, errors } = evaluate(rows, [{ label: 'a' }, { label: 'b' }, { label: 'b' }, { error }], ['a', 'b'])
    assert.equal(errors, 1)
    assert.equal(metrics['accuracy'], 0.5)
    // a: tp 1, fp 0, fn 1 -> 2/3; b: tp 1, fp 1, fn 1 -> 1/2
    assert.ok(Math.abs(metrics['macro_f1']! - (2 / 3 + 1 / 2) / 2) < 1e-12)
  })

  test('scores texts against every reference', () => {
    const rows = [{ input: '1', references: ['the cat sat on the mat', 'a cat sat'] }, { input: '2', target: 'the dog lay on the rug' }]
    const { metrics } = evaluate(rows, [{ text: ' a cat sat\n' }, { text: 'the dog lay on the rug' }], null)
    assert.deepEqual(metrics['exact_match'], 1)
    assert.ok(Math.abs(metrics['bleu']! - 100) < 1e-9)
  })

  test('names the row that can not be scored', () => {
    assert.throws(() => evaluate([{ input: '1', label: 'c' }], [{ label: 'a' }], ['a', 'b']), /row 1: its label is none of the task's 2 labels/)
    assert.throws(() => evaluate([{ input: '1' }], [{ text: 'a' }], null), /row 1 has neither target nor references/)
  })
})
