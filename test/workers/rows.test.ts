import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { ServiceError } from '../../src/errors.js'
import type { TaskSpec } from '../../src/prompt/task-spec.js'
import { type Example, longestOf, predictions } from '../../workers/example.js'
import { readExamples, type RowOptions, splitValidation } from '../../workers/rows.js'
import { testTokenizer } from '../support/tokenizer.js'

const tokenizer = testTokenizer()
const label = (name: string, tokenId: number) => ({ name, tokenId, piece: name, tokenIds: [tokenId] })
const classification: TaskSpec = { kind: 'classification', template: '{input}\nLabel:', verbalizer: { type: 'vectors', labels: [label('0', 1), label('yes', 2)] } }
const generation: TaskSpec = { kind: 'generation', template: '{input}\n', verbalizer: null }
const END = 342
const BOS = 341

const options = (spec: TaskSpec, maxLength = 64): RowOptions => ({ spec, tokenizer, endTokenId: END, maxLength, param: 'training_file' })
const read = (spec: TaskSpec, lines: unknown[], maxLength?: number) => readExamples(Buffer.from(lines.map(line => typeof line === 'string' ? line : JSON.stringify(line)).join('\n')), options(spec, maxLength))
const refuses = (code: string, line?: number) => (error: unknown) => error instanceof ServiceError && error.code === code && error.line === line

suite('readExamples()', () => {
  test('classification: the rendered text, and the label by `label` or else `target`', () => {
    const examples = read(classification, [{ input: 'a frog', label: 0 }, '', { input: 'a frog', label: 'entailment', target: 'yes' }])
    const ids = tokenizer.encode('a frog\nLabel:')
    const input = [1, 1 + tokenizer.encode('a frog', { addSpecial: false }).length] as const
    assert.deepEqual(examples, [{ ids, targetStart: ids.length, input, label: 0 }, { ids, targetStart: ids.length, input, label: 1 }])
    assert.equal(predictions(examples[0]!), 1)
  })

  test('lines are read as at the upload: a byte order mark or foreign space around a line is no part of it', () => {
    const line = JSON.stringify({ input: 'a frog', label: 0 })
    assert.deepEqual(read(classification, [line, `\uFEFF${line}\r`, `\u3000${line}`]), read(classification, [line, line, line]))
  })

  test('what the template puts around the input is no part of it', () => {
    const [{ ids, input }] = read({ ...classification, template: 'The text.\n{input}\nLabel:' }, [{ input: 'a frog', label: 0 }]) as [Example]
    const tokens = tokenizer.encode('a frog', { addSpecial: false })
    assert.deepEqual(ids.slice(...input!), tokens)
  })

  test('the longest of more rows than a call has room for', () => {
    const [short, long] = [1, 3].map(length => ({ ids: Array.from({ length }, () => 5), targetStart: 1, label: null }))
    assert.equal(longestOf([...Array.from({ length: 1_000_000 }, () => short!), long!]), 3)
    assert.equal(longestOf([]), 0)
  })

  test('generation: input, target, end token; references stand in for a target', () => {
    const [first, second] = read(generation, [{ input: 'near', target: 'the frog' }, { input: 'near', references: ['the frog', 'a frog'] }])
    const input = tokenizer.encode('near\n')
    const target = [...tokenizer.encode('the frog', { addSpecial: false }), END]
    assert.deepEqual(first, { ids: [...input, ...target], targetStart: input.length, input: [1, input.length - 1], label: null })
    assert.deepEqual(second, first)
    assert.equal(predictions(first!), target.length)
  })

  test('what is too long is cut from the left of the input; begin-of-text and target stay', () => {
    const input = 'the basket near the farmer and the frog is green'
    const [cut] = read(generation, [{ input, target: 'the frog' }], 16)
    const target = [...tokenizer.encode('the frog', { addSpecial: false }), END]
    const full = tokenizer.encode(`${input}\n`)
    assert.equal(cut!.ids.length, 16)
    assert.equal(cut!.ids[0], BOS)
    assert.deepEqual(cut!.ids.slice(cut!.targetStart), target)
    const kept = cut!.ids.slice(1, cut!.targetStart)
    assert.deepEqual(kept, full.slice(full.length - kept.length))
    assert.equal(read(classification, [{ input, label: 0 }], 12)[0]!.ids.length, 12)
  })

  test('refuses bad rows with their line', () => {
    assert.throws(() => read(classification, ['']), refuses('empty_file'))
    assert.throws(() => read(classification, [{ input: 'a', label: 0 }, '{']), refuses('bad_line', 2))
    assert.throws(() => read(classification, [{ input: 'a', label: 'no' }]), refuses('unknown_label', 1))
    assert.throws(() => read(generation, [{ input: 'a', target: '' }]), refuses('bad_line', 1))
    assert.throws(() => read(generation, [{ input: 'a', target: 'a long target that does not fit' }], 8), refuses('invalid_request', 1))
    assert.throws(() => read(classification, [{ input: 3, label: 0 }]), refuses('bad_line', 1))
    assert.throws(() => read(classification, [{ label: 0 }]), refuses('bad_line', 1))
    assert.throws(() => read(classification, ['7']), refuses('bad_line', 1))
  })
})

suite('splitValidation()', () => {
  const examples = Array.from({ length: 100 }, (_, i) => ({ ids: [i], targetStart: 1, label: 0 }))
  test('takes the same rows off for the same seed, others for another, none twice', () => {
    const [a, b, c] = [splitValidation(examples, 10, 1), splitValidation(examples, 10, 1), splitValidation(examples, 10, 2)]
    assert.deepEqual(a, b)
    assert.notDeepEqual(a, c)
    assert.deepEqual([a.training.length, a.validation.length], [90, 10])
    assert.equal(new Set([...a.training, ...a.validation]).size, 100)
  })

  test('a single row validates itself', () => {
    assert.deepEqual(splitValidation(examples.slice(0, 1), 1, 1), { training: examples.slice(0, 1), validation: examples.slice(0, 1) })
  })
})
