import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { initialText, repeatTo } from '../../src/prompt/initial-text.js'
import type { TaskSpec } from '../../src/prompt/task-spec.js'
import { chooseLabels } from '../../src/prompt/verbalizer.js'
import { testTokenizer } from '../support/tokenizer.js'

suite('initial text', () => {
  test('names the labels', () => {
    const spec: TaskSpec = { kind: 'classification', template: '{input}', verbalizer: { type: 'vectors', labels: chooseLabels(['good', 'bad'], testTokenizer()) } }
    assert.equal(initialText(spec), 'Classify the text into one of: good, bad.')
    assert.match(initialText({ kind: 'generation', template: '{input}', verbalizer: null }), /^Write/)
  })

  test('is repeated and cut to the length of the prompt', () => {
    assert.deepEqual(repeatTo([7, 8, 9], 7), [7, 8, 9, 7, 8, 9, 7])
    assert.deepEqual(repeatTo([7, 8, 9], 2), [7, 8])
    assert.throws(() => repeatTo([], 2), /no ids/)
  })
})
