/** Token ids against recorded ones of Hugging Face's tokenizers and llama.cpp. */
import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { suite, test } from 'node:test'
import { tokenizerFromJson } from '../../src/model/bpe-tokenizer.js'
import { readGguf } from '../../src/model/gguf.js'
import { tokenizerFromGguf } from '../../src/model/tokenizer-gguf.js'
import { validateTokenizerJson } from '../../src/model/tokenizer-json.js'
import type { Tokenizer } from '../../src/model/tokenizer.js'
import { fixturesFolder, sharedFolder } from '../support/shared.js'

interface Case { text: string, ids: number[], ids_no_special: number[], ids_plain?: number[], decoded?: string, decoded_skip_special: string }

function readJson<T> (path: string): T {
  return JSON.parse(readFileSync(path, 'utf8')) as T
}

function checkCases (tokenizer: Tokenizer, cases: readonly Case[]): void {
  assert.ok(cases.length > 0)
  for (const { text, ids, ids_no_special, ids_plain, decoded, decoded_skip_special } of cases) {
    const where = JSON.stringify(text.slice(0, 60))
    assert.deepEqual(tokenizer.encode(text, { parseSpecial: true }), ids, `ids of ${where}`)
    assert.deepEqual(tokenizer.encode(text, { parseSpecial: true, addSpecial: false }), ids_no_special, `ids without special of ${where}`)
    if (ids_plain !== undefined) assert.deepEqual(tokenizer.encode(text, { addSpecial: false }), ids_plain, `plain ids of ${where}`)
    if (decoded !== undefined) assert.equal(tokenizer.decode(ids, { keepSpecial: true }), decoded, `text of ${where}`)
    assert.equal(tokenizer.decode(ids), decoded_skip_special, `text without special of ${where}`)
  }
}

function folderTest (name: string, model: string | null, cases: (() => readonly Case[])): void {
  test(name, { skip: model === null && 'no reference data (PERMAFROST_FIXTURES, PERMAFROST_SHARED)' }, () => {
    const json = validateTokenizerJson(readFileSync(join(model!, 'tokenizer.json')))
    checkCases(tokenizerFromJson(json), cases())
    // What the importer stores says the same.
    checkCases(tokenizerFromJson(validateTokenizerJson(JSON.stringify(json))), cases())
  })
}

suite('token ids of Hugging Face folders', () => {
  const variants = fixturesFolder('variants')
  const folders = [fixturesFolder('llama'), fixturesFolder('gpt2'), ...variants === null ? [] : readdirSync(variants).filter(name => /llama|gpt2/.test(name)).map(name => join(variants, name))]
  for (const folder of folders) {
    folderTest(folder === null ? 'fixtures' : basename(folder), folder && join(folder, 'model'), () => readJson<{ cases: Case[] }>(join(folder!, 'tokenizer_cases.json')).cases)
  }
  const stories = sharedFolder('models', 'stories260K')
  folderTest('stories260K', stories, () => readJson<{ tokenizer: Case[] }>(join(stories!, 'reference.json')).tokenizer)
})

suite('token ids of GGUF files', () => {
  const folder = fixturesFolder('gguf', 'tiny-llama')
  const names = folder === null ? [] : readdirSync(folder).filter(name => name.endsWith('.gguf')).map(name => basename(name, '.gguf'))
  test('there are files', { skip: folder === null && 'no reference data (PERMAFROST_FIXTURES)' }, () => assert.ok(names.length > 0))
  for (const name of names) {
    test(name, () => {
      const reference = readJson<{ tokenizer: { add_bos: boolean, cases: Case[] } }>(join(folder!, `${name}.json`))
      const imported = tokenizerFromGguf(readGguf(join(folder!, `${name}.gguf`)).metadata)
      assert.deepEqual(imported.warnings, [])
      assert.equal(imported.addsBos, reference.tokenizer.add_bos)
      checkCases(tokenizerFromJson(imported.tokenizerJson), reference.tokenizer.cases)
      checkCases(tokenizerFromJson(validateTokenizerJson(JSON.stringify(imported.tokenizerJson))), reference.tokenizer.cases)
    })
  }
})
