import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { suite, test } from 'node:test'
import { ServiceError } from '../../src/errors.js'
import { tokenizerFromJson } from '../../src/model/bpe-tokenizer.js'
import { validateTokenizerJson } from '../../src/model/tokenizer-json.js'
import type { Tokenizer } from '../../src/model/tokenizer.js'
import { chooseLabels } from '../../src/prompt/verbalizer.js'
import { sharedFolder } from '../support/shared.js'
import { testTokenizer } from '../support/tokenizer.js'

/** A tokenizer whose tokens are the given pieces, longest first, and single characters. */
function pieceTokenizer (...pieces: string[]): Tokenizer {
  const all = [...pieces, ...Array.from({ length: 128 }, (_, code) => String.fromCharCode(code))]
  return {
    vocabSize: all.length,
    encode (text) {
      const ids: number[] = []
      for (let at = 0; at < text.length; at += all[ids.at(-1)!]!.length) ids.push(all.findIndex(piece => text.startsWith(piece, at)))
      return ids
    },
    decode: ids => ids.map(id => all[id]).join(''),
    piece: id => all[id] ?? ''
  }
}

function chosen (tokenizer: Tokenizer, names: string[]): Record<string, string> {
  return Object.fromEntries(chooseLabels(names, tokenizer).map(label => [label.name, label.piece]))
}

function refuses (tokenizer: Tokenizer, names: string[], code: string, param: string): void {
  assert.throws(() => chooseLabels(names, tokenizer), (error: unknown) => error instanceof ServiceError && error.code === code && error.param === param)
}

suite('chooseLabels()', () => {
  const tokenizer = pieceTokenizer(' Search', ' Screening', ' Event', ' Creative', ' Work', ' not', ' at', ' A', ' B', ' C', 'Label:')

  test('takes the first token, then one of a later word, then a letter', () => {
    assert.deepEqual(chosen(tokenizer, ['SearchCreativeWork', 'SearchScreeningEvent']), { SearchCreativeWork: ' Search', SearchScreeningEvent: ' Screening' })
    assert.deepEqual(chosen(tokenizer, ['not', 'not at all', 'not at']), { not: ' not', 'not at all': ' at', 'not at': ' A' })
  })

  test('leaves the first token of a label to it, whatever the others need', () => {
    assert.deepEqual(chosen(tokenizer, ['Search', 'Search A', 'A', 'Search B', 'B', 'Search']), { Search: ' Search', 'Search A': 'A', A: ' A', 'Search B': 'B', B: ' B' })
  })

  test('lets a digit stand for itself', () => {
    assert.deepEqual(chosen(tokenizer, ['0', '1', '2']), { 0: ' ', 1: '1', 2: '2' })
  })

  test('keeps all tokens of the name', () => {
    const [label] = chooseLabels(['not at', 'Search'], tokenizer)
    assert.deepEqual(label?.tokenIds.map(id => tokenizer.piece(id)), [' not', ' at'])
  })

  test('gives each of many labels its own token, the same every time', () => {
    const names = Array.from({ length: 120 }, (_, i) => `intent ${i}`)
    const real = testTokenizer()
    const labels = chooseLabels(names, real)
    assert.equal(new Set(labels.map(label => label.tokenId)).size, names.length)
    assert.deepEqual(chooseLabels(names, real), labels)
  })

  test('sees a word as it stands in a text, with a tokenizer that marks the start', { skip: sharedFolder('models', 'stories260K') === null && 'no stories260K (PERMAFROST_SHARED)' }, () => {
    const stories = tokenizerFromJson(validateTokenizerJson(readFileSync(join(sharedFolder('models', 'stories260K')!, 'tokenizer.json'))))
    assert.deepEqual(chooseLabels(['happy', 'sad'], stories).map(label => label.tokenIds), ['happy', 'sad'].map(name => stories.encode(name, { addSpecial: false })))
  })

  test('refuses by name', () => {
    refuses(tokenizer, ['a', ' '], 'invalid_request', 'labels/1')
    refuses(tokenizer, ['a', 'b '], 'invalid_request', 'labels/1')
    refuses(tokenizer, ['a', 'b\n c'], 'invalid_request', 'labels/1')
    refuses(tokenizer, ['a', 'b\u2028c'], 'invalid_request', 'labels/1')
    refuses(tokenizer, ['a', 'x'.repeat(201)], 'invalid_request', 'labels/1')
    refuses(tokenizer, ['a', 'a'], 'one_label', 'labels')
    refuses(tokenizer, [], 'one_label', 'labels')
    refuses(tokenizer, Array.from({ length: 1001 }, (_, i) => String(i)), 'invalid_request', 'labels')
    refuses(tokenizer, Array.from({ length: 300 }, (_, i) => `x${i}`), 'invalid_request', 'labels')
  })
})
