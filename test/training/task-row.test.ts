import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import type { TaskSpec } from '../../src/prompt/task-spec.js'
import { parseDataRow } from '../../src/training/data-row.js'
import { requireTwoLabels, taskRowReader } from '../../src/training/task-row.js'

const label = (name: string, tokenId: number) => ({ name, tokenId, piece: name, tokenIds: [tokenId] })
const classification: TaskSpec = { kind: 'classification', template: '{input}\nLabel:', verbalizer: { type: 'vectors', labels: [label('0', 1), label('yes', 2)] } }
const generation: TaskSpec = { kind: 'generation', template: '{a} and {b}\n', verbalizer: null }
const read = (spec: TaskSpec, row: unknown) => taskRowReader(spec, 'training_file')(parseDataRow(JSON.stringify(row), 3), 3)

suite('taskRowReader()', () => {
  test('a label counts by its text, and the target where the label is none of the task\'s', () => {
    assert.deepEqual(read(classification, { input: 'x', label: 0 }), { text: 'x\nLabel:', answer: '0' })
    assert.equal(read(classification, { input: 'x', label: 'entailment', target: 'yes' }).answer, 'yes')
    assert.equal(read(classification, { input: 'x', label: 'yes', target: '0' }).answer, 'yes')
  })

  test('references stand in for a target', () => {
    assert.deepEqual(read(generation, { input: { a: '1', b: '2' }, references: ['x', 'y'] }), { text: '1 and 2\n', answer: 'x' })
    assert.equal(read(generation, { input: { a: '1', b: '2' }, target: 't', references: ['x'] }).answer, 't')
  })

  test('names line and field of what a task cannot use', () => {
    assert.throws(() => read(classification, { input: 'x', label: 'no' }), { code: 'unknown_label', line: 3, param: 'label' })
    assert.throws(() => read(generation, { input: { a: '1', b: '2' }, target: '' }), { code: 'bad_line', line: 3, param: 'target' })
    assert.throws(() => read(generation, { input: { a: '1', b: '2' }, label: 'yes' }), { code: 'bad_line', line: 3, param: 'target' })
    assert.throws(() => read(generation, { input: { a: '1' }, target: 'b' }), { code: 'bad_line', line: 3, param: 'input/b' })
    assert.throws(() => read(generation, { input: 'x', target: 'b' }), { code: 'bad_line', line: 3, param: 'input' })
  })
})

test('one label only is refused, none is no classification', () => {
  assert.throws(() => requireTwoLabels(new Set(['yes']), 'training_file'), { code: 'one_label', param: 'training_file' })
  requireTwoLabels(new Set(['yes', 'no']), 'training_file')
  requireTwoLabels(new Set(), 'training_file')
})
