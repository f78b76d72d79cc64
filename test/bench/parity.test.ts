/** The parity run passes on the reference numbers, and notices when either side is changed. */
import assert from 'node:assert/strict'
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { suite, test } from 'node:test'
import { Ledger, type Row } from '../../bench/parity/ledger.js'
import { parity } from '../../bench/parity/run.js'
import { fixturesFolder, sharedFolder } from '../support/shared.js'

const fixtures = fixturesFolder()
const models = sharedFolder('models')

function failures (rows: readonly Row[]): string[] {
  return rows.filter(({ outcome }) => outcome === 'failed').map(({ subject, check, note }) => `${subject}, ${check}: ${note}`)
}

suite('parity', () => {
  test('with every reference of the family', { skip: (fixtures === null || models === null) && 'no reference numbers (PERMAFROST_FIXTURES, PERMAFROST_SHARED)' }, async () => {
    const { rows } = await parity('llama', { fixtures: fixtures!, models }, () => {})
    assert.deepEqual(failures(rows), [])
    for (const check of ['token ids', 'forward logits', 'forward losses', 'greedy ids', 'gradient, relative L2', 'final parameters', 'step logits', 'first logits']) {
      assert.ok(rows.some(row => row.check === check && row.outcome === 'passed'), check)
    }
  })

  const folder = fixturesFolder('llama')
  test('notices a changed reference, one that is missing, and one that it does not know', { skip: folder === null && 'no llama in the fixtures' }, async () => {
    const copy = mkdtempSync(join(tmpdir(), 'permafrost-damaged-'))
    const path = (...parts: string[]): string => join(copy, 'changed', ...parts)
    const changeJson = (file: string, from: RegExp, to: (...groups: string[]) => string): void => {
      const text = readFileSync(path(file), 'utf8')
      const changed = text.replace(from, to)
      assert.notEqual(changed, text, file)
      writeFileSync(path(file), changed)
    }
    const changeLastFloat = (file: string): void => {
      const bytes = readFileSync(path(file))
      bytes.writeFloatLE(bytes.readFloatLE(bytes.length - 4) + 0.01, bytes.length - 4)
      writeFileSync(path(file), bytes)
    }
    try {
      for (const part of ['model', 'batches.json', 'generate.json', 'tokenizer_cases.json', 'peft/prompt_random']) cpSync(join(folder!, part), path(part), { recursive: true })
      writeFileSync(join(copy, 'manifest.json'), JSON.stringify({ models: { changed: { family: 'llama' }, absent: { family: 'llama' }, other: { family: 'gpt2' } } }))
      writeFileSync(path('ensembles.json'), '{}')
      changeJson('generate.json', /"ids": ?\[(\d+)/, (_, id) => `"ids": [${Number(id) + 1}`)
      changeJson('generate.json', /"kind": ?"beam"/, () => '"kind": "diverse"')
      changeJson('tokenizer_cases.json', /"ids_no_special": ?\[(\d+)/, (_, id) => `"ids_no_special": [${Number(id) + 1}`)
      changeJson('peft/prompt_random/case.json', /"lr": ?[\d.]+/, () => '"lr": 0.5')
      changeLastFloat('peft/prompt_random/grads.safetensors')
      const { rows } = await parity('llama', { fixtures: copy, models: null }, () => {})
      assert.deepEqual(failures(rows).map(line => line.split(':')[0]).sort(), [
        'absent, model',
        'changed, ensembles.json',
        'changed, generation of kind "diverse"',
        'changed, greedy ids',
        'changed, token ids without special tokens',
        'changed/peft/prompt_random, final parameters',
        'changed/peft/prompt_random, gradient, relative L2',
        'changed/peft/prompt_random, loss curve',
        'changed/peft/prompt_random, losses afterwards',
        'gguf, folder',
        'models, reference.json'
      ])
    } finally {
      rmSync(copy, { recursive: true })
    }
  })
})

suite('the ledger', () => {
  test('keeps the case that is nearest to its tolerance, or beyond it', () => {
    const ledger = new Ledger()
    const checks = ledger.subject('model')
    checks.within('loss', 'first', 2e-6, 1e-5)
    checks.within('loss', 'second', 3e-6, 1e-3)
    assert.deepEqual(ledger.rows, [{ subject: 'model', check: 'loss', cases: 2, difference: 2e-6, tolerance: 1e-5, outcome: 'passed', note: '' }])
    checks.within('loss', 'third', NaN, 1e-5)
    const [row] = ledger.rows
    assert.deepEqual([row!.cases, row!.difference, row!.outcome, row!.note], [3, NaN, 'failed', 'third differs by NaN'])
  })

  test('fails what compared nothing, and what ended with an error', async () => {
    const ledger = new Ledger()
    const checks = ledger.subject('model')
    await checks.attempt('silence', () => {})
    await checks.attempt('accident', () => { throw new Error('no tensor x') })
    await checks.attempt('absence', () => checks.notBuilt('beam search', 2, 'later'))
    assert.deepEqual(ledger.rows.map(({ check, outcome, note }) => [check, outcome, note]), [
      ['silence', 'failed', 'nothing was compared'], ['accident', 'failed', 'no tensor x'], ['beam search', 'not yet built', 'later']
    ])
  })

  test('names a few of many failures', () => {
    const ledger = new Ledger()
    const checks = ledger.subject('model')
    for (let i = 0; i < 9; i++) checks.equal('ids', `text ${i}`, i === 0)
    const [row] = ledger.rows
    assert.deepEqual([row!.difference, row!.cases, row!.note], [8, 9, 'text 1; text 2; text 3; and more'])
  })
})
