import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { suite, test } from 'node:test'
import { MalformedModelError } from '../../src/errors.js'
import { tokenizerFromJson } from '../../src/model/bpe-tokenizer.js'
import { readGguf } from '../../src/model/gguf.js'
import type { GgufMetadata, GgufScalar, GgufScalarType, GgufValue } from '../../src/model/gguf-values.js'
import { tokenizerFromGguf } from '../../src/model/tokenizer-gguf.js'
import { fixturesFolder } from '../support/shared.js'

const LETTERS = [...'abcdefghijklmnopqrstuvwxyz0123456789Ġ']
const TOKENS = [...LETTERS, 'Ġt', 'th', 'the', 'Ġthe', 'Ġth', '<|end|>', '<note>', 'cab', '12']

const YES: GgufValue = { type: 'bool', value: true }
const NO: GgufValue = { type: 'bool', value: false }

function array (of: GgufScalarType, values: readonly GgufScalar[]): GgufValue {
  return { type: 'array', value: { of, values } }
}

function metadata (changes: Record<string, GgufValue | null> = {}): GgufMetadata {
  const all: Record<string, GgufValue | null> = {
    'general.architecture': { type: 'string', value: 'llama' },
    'tokenizer.ggml.model': { type: 'string', value: 'gpt2' },
    'tokenizer.ggml.pre': { type: 'string', value: 'gpt-2' },
    'tokenizer.ggml.tokens': array('string', TOKENS),
    'tokenizer.ggml.token_type': array('int32', TOKENS.map(token => token === '<|end|>' ? 3 : token === '<note>' ? 4 : 1)),
    'tokenizer.ggml.merges': array('string', ['t h', 'th e', 'Ġ the']),
    'tokenizer.ggml.bos_token_id': { type: 'uint32', value: TOKENS.indexOf('<|end|>') },
    'tokenizer.ggml.eos_token_id': { type: 'uint32', value: TOKENS.indexOf('<|end|>') },
    ...changes
  }
  return new Map(Object.entries(all).filter((entry): entry is [string, GgufValue] => entry[1] !== null))
}

function pieces (text: string, changes: Record<string, GgufValue | null> = {}, options = {}): string[] {
  return tokenizerFromJson(tokenizerFromGguf(metadata(changes)).tokenizerJson).encode(text, options).map(id => TOKENS[id]!)
}

function pre (value: string): Record<string, GgufValue> {
  return { 'tokenizer.ggml.pre': { type: 'string', value } }
}

function refuses (changes: Record<string, GgufValue | null>, message: RegExp): void {
  assert.throws(() => tokenizerFromGguf(metadata(changes)), (error: unknown) => {
    assert.ok(error instanceof MalformedModelError, String(error))
    assert.match(error.message, message)
    return true
  })
}

suite('tokenizerFromGguf()', () => {
  test('splits as tokenizer.ggml.pre says', () => {
    assert.deepEqual(pieces('the the'), ['the', 'Ġthe'])
    // A piece that is an entry is taken whole by llama-bpe, with its begin-of-text in front.
    assert.deepEqual(pieces('cab 12', pre('llama-bpe')), ['<|end|>', 'cab', 'Ġ', '12'])
    assert.deepEqual(pieces('cab 12', pre('gpt-2')), ['c', 'a', 'b', 'Ġ', '1', '2'])
    assert.deepEqual(pieces('12', { ...pre('smollm'), 'tokenizer.ggml.merges': array('string', ['1 2']) }), ['1', '2'])
    assert.deepEqual(pieces('12', { ...pre('gpt-2'), 'tokenizer.ggml.merges': array('string', ['1 2']) }), ['12'])
  })

  test('finds user-defined tokens in any text and control tokens only when asked', () => {
    assert.deepEqual(pieces('a<note>b', {}), ['a', '<note>', 'b'])
    assert.deepEqual(pieces('a<|end|>b', {}, { parseSpecial: true }), ['a', '<|end|>', 'b'])
    assert.ok(!pieces('a<|end|>b').includes('<|end|>'))
  })

  test('adds the tokens that the file asks for', () => {
    assert.deepEqual(pieces('a', { 'tokenizer.ggml.add_bos_token': YES, 'tokenizer.ggml.add_eos_token': YES }), ['<|end|>', 'a', '<|end|>'])
    const without = tokenizerFromGguf(metadata({ ...pre('llama-bpe'), 'tokenizer.ggml.add_bos_token': NO }))
    assert.equal(without.addsBos, false)
    const missing = tokenizerFromGguf(metadata({ ...pre('llama-bpe'), 'tokenizer.ggml.bos_token_id': null }))
    assert.equal(missing.addsBos, false)
    assert.match(missing.warnings.join(), /bos_token_id is missing/)
  })

  test('says when the expression had to be guessed', () => {
    assert.match(tokenizerFromGguf(metadata({ 'tokenizer.ggml.pre': null })).warnings.join(), /tokenizer\.ggml\.pre is missing: GPT-2/)
  })

  test('of two equal merges takes the first', () => {
    const merges = ['t h', 'h e', 'th e', 't h'].filter(merge => merge !== 'h e')
    assert.deepEqual(tokenizerFromGguf(metadata({ 'tokenizer.ggml.merges': array('string', merges) })).tokenizerJson.model.merges, [['t', 'h'], ['th', 'e']])
  })

  test('refuses by name', () => {
    refuses(pre('no-such-pre'), /pre 'no-such-pre' is not known/)
    refuses({ 'tokenizer.ggml.model': { type: 'string', value: 'llama' } }, /model 'llama' is not supported/)
    refuses({ 'tokenizer.ggml.merges': null }, /tokenizer\.ggml\.merges is missing/)
    refuses({ 'tokenizer.ggml.tokens': array('string', ['a', 'b', 'a']) }, /entries 0 and 2 are the same string 'a'/)
    refuses({ 'tokenizer.ggml.token_type': array('int32', TOKENS.map((_, i) => i === 2 ? 9 : 1)) }, /entry 2 is 9/)
    refuses({ 'tokenizer.ggml.merges': array('string', ['t']) }, /merge 't' does not name two pieces/)
    refuses({ 'tokenizer.ggml.merges': array('string', ['t ']) }, /does not name two pieces/)
    refuses({ 'tokenizer.ggml.merges': array('string', ['a b']) }, /merge 'a b' names pieces, or makes one/)
    refuses({ 'tokenizer.ggml.eos_token_id': { type: 'uint32', value: TOKENS.length } }, /eos_token_id \d+ is no token/)
    refuses({ 'llama.vocab_size': { type: 'uint32', value: 7 } }, /llama\.vocab_size is 7, there are \d+ tokens/)
  })
})

suite('hostile GGUF files: tokenizer', () => {
  const folder = fixturesFolder('gguf', 'hostile')
  if (folder === null) {
    test('none here', { skip: 'no reference data (PERMAFROST_FIXTURES)' }, () => {})
    return
  }
  const imported = (path: string) => tokenizerFromGguf(readGguf(join(folder, path)).metadata)
  const ABOUT_TOKENIZER = /token|merge|(^|_)pre_|missing_pre|[be]os_|chat_template|vocab_size/
  const { entries } = JSON.parse(readFileSync(join(folder, 'manifest.json'), 'utf8')) as { entries: Array<{ path: string, expect: string, say: string }> }
  for (const { path, expect, say } of entries) {
    // What needs the tensors to be seen is not the tokenizer's to refuse.
    const concerned = ABOUT_TOKENIZER.test(path) && !/rows/.test(say)
    if (!concerned && expect !== 'accept') continue
    test(`${expect}: ${path}`, () => {
      if (expect === 'reject') assert.throws(() => imported(path), MalformedModelError)
      else if (expect === 'warn') assert.equal(imported(path).warnings.length, 1)
      else if (expect === 'accept') assert.deepEqual(imported(path).warnings, [])
      else try { imported(path) } catch (error) { assert.ok(error instanceof MalformedModelError) }
    })
  }
})
