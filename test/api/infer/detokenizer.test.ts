import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { Detokenizer } from '../../../src/api/infer/detokenizer.js'
import type { Tokenizer } from '../../../src/model/tokenizer.js'
import { testTokenizer } from '../../support/tokenizer.js'
import { byteTokenizer } from '../byte-tokenizer.js'

function pieces (text: string, tokenizer: Tokenizer = byteTokenizer): string[] {
  const detokenizer = new Detokenizer(tokenizer)
  return [...tokenizer.encode(text, { addSpecial: false }).map(id => detokenizer.push(id)), detokenizer.flush()]
}

suite('Detokenizer', () => {
  test('holds the bytes of a character back until it is complete', () => {
    assert.deepEqual(pieces('aé😀b'), ['a', '', 'é', '', '', '', '😀', 'b', ''])
  })

  test('gives out what is left when the text ends inside a character', () => {
    const detokenizer = new Detokenizer(byteTokenizer)
    assert.deepEqual([0x61, 0xf0, 0x9f].map(id => detokenizer.push(id)), ['a', '', ''])
    assert.equal(detokenizer.flush(), '\uFFFD')
    assert.equal(detokenizer.flush(), '')
  })

  test('does not hold bytes back for ever that are no character', () => {
    const detokenizer = new Detokenizer(byteTokenizer)
    const text = Array.from({ length: 20 }, () => detokenizer.push(0xff))
    assert.ok(text.slice(0, 8).join('').length > 0)
    assert.equal(text.join('') + detokenizer.flush(), '\uFFFD'.repeat(20))
  })

  test('adds up to the whole text with a tokenizer of words', () => {
    for (const text of ['The quick brown fox.', ' leading space', 'naïve café 😀😀 größer', 'line\n\n  two', '日本語のテキスト']) {
      assert.equal(pieces(text, testTokenizer()).join(''), text)
    }
  })
})
