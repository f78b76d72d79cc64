/** What the references do not cover: texts made up here, options, odd ids, pre-tokenizers and decoders one by one. */
import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { AddedTokens } from '../../src/model/added-tokens.js'
import { tokenizerFromJson } from '../../src/model/bpe-tokenizer.js'
import { tokenDecoder } from '../../src/model/token-decoder.js'
import { checkTokenizerJson } from '../../src/model/tokenizer-json.js'
import type { AddedTokenJson } from '../../src/model/tokenizer-vocabulary.js'
import { testTokenizer, testTokenizerJson } from '../support/tokenizer.js'

/** Texts as pieces: a byte-pair model without merges whose vocabulary holds the wanted pieces whole. */
function piecesOf (pre_tokenizer: unknown, text: string): string[] {
  const characters = [...new Set([...text, '▁', ' '])]
  const words = Array.from({ length: text.length }, (_, start) => Array.from({ length: text.length - start }, (_, size) => text.slice(start, start + size + 1))).flat()
  const vocab = [...new Set([...characters, ...words, ...words.map(word => word.replaceAll(' ', '▁')), ...words.map(word => `▁${word.replaceAll(' ', '▁')}`)])]
  const tokenizer = tokenizerFromJson(checkTokenizerJson({
    added_tokens: [], pre_tokenizer, decoder: { type: 'Fuse' }, model: { type: 'BPE', ignore_merges: true, vocab: Object.fromEntries(vocab.map((word, id) => [word, id])), merges: [] }
  }))
  return tokenizer.encode(text).map(id => tokenizer.piece(id))
}

function metaspace (options: object): unknown {
  return { type: 'Metaspace', replacement: '▁', ...options }
}

function added (content: string, id: number, options: Partial<AddedTokenJson> = {}): AddedTokenJson {
  return { content, id, single_word: false, lstrip: false, rstrip: false, normalized: false, special: false, ...options }
}

suite('Tokenizer', () => {
  const tokenizer = testTokenizer()

  test('gives back every text', () => {
    const texts = [
      '', ' ', 'a', '😀👩‍👩‍👧‍👦🇫🇷', '١٢٣४५६', '\uFEFFbom\uFEFF', 'a\u0085b\u2028c', "I'M he'LL they'Ve", 'a\r\n\r\nb\n\n', ' \t mixed \u00A0 spaces ', 'ＦＵＬＬ',
      '\0\u0001\u007F', 'x'.repeat(3000), `${' '.repeat(3000)}x`, '\n'.repeat(3000), '<|begin_of_text|>', '{"a": [1, 2]}', 'ǅ ŉ ſ', '\u{10FFFF}'
    ]
    for (const text of texts) {
      assert.equal(tokenizer.decode(tokenizer.encode(text)), text)
      assert.equal(tokenizer.decode(tokenizer.encode(text, { parseSpecial: true }), { keepSpecial: true }), `<|begin_of_text|>${text}`)
    }
  })

  test('takes half a surrogate pair as U+FFFD', () => {
    assert.equal(tokenizer.decode(tokenizer.encode('a\uD83D b')), 'a\uFFFD b')
  })

  test('takes 200 KB of one letter in bounded time', () => {
    assert.equal(tokenizer.decode(tokenizer.encode('a'.repeat(200_000))).length, 200_000)
  })

  test('leaves control tokens of a text alone unless asked', () => {
    assert.deepEqual(tokenizer.encode('<|eot_id|>', { addSpecial: false, parseSpecial: true }), [343])
    assert.ok(!tokenizer.encode('<|eot_id|>', { addSpecial: false }).includes(343))
  })

  test('decodes nothing to nothing, and ids beyond its tokens to nothing', () => {
    assert.equal(tokenizer.decode([]), '')
    assert.equal(tokenizer.decode([341]), '')
    assert.equal(tokenizer.decode([100_000, -1, 64]), tokenizer.decode([64]))
    assert.equal(tokenizer.piece(341), '<|begin_of_text|>')
    assert.equal(tokenizer.vocabSize, 344)
  })

  test('shows half a character as U+FFFD', () => {
    const [first] = tokenizer.encode('é', { addSpecial: false })
    assert.equal(tokenizer.piece(first!), '\uFFFD')
  })

  test('finds ordinary added tokens in any text, longest first', () => {
    const json = testTokenizerJson()
    const more = tokenizerFromJson(checkTokenizerJson({ ...json, added_tokens: [...json.added_tokens, added('<n>', 344), added('<n><n>', 345)] }))
    assert.deepEqual(more.encode('<n><n><n>', { addSpecial: false }), [345, 344])
    assert.equal(more.decode([345, 344]), '<n><n><n>')
  })

  test('finds an added token in its normalised form', () => {
    const json = testTokenizerJson()
    const normalizer = { type: 'Replace', pattern: { String: '_' }, content: '-' }
    const more = tokenizerFromJson(checkTokenizerJson({ ...json, normalizer, added_tokens: [...json.added_tokens, added('<a_b>', 344, { normalized: true })] }))
    assert.deepEqual(more.encode('<a-b><a_b>', { addSpecial: false }), [344, 344])
    assert.equal(more.decode([344]), '<a-b>')
  })
})

suite('AddedTokens', () => {
  test('swallow spaces, or are text inside a word', () => {
    const tokens = new AddedTokens([added('<l>', 1, { lstrip: true }), added('<r>', 2, { rstrip: true }), added('word', 3, { single_word: true }), added(' zz', 4)])
    assert.deepEqual(tokens.split('a \u0085<l> b <r> \n c'), ['a', { id: 1 }, ' b ', { id: 2 }, 'c'])
    assert.deepEqual(tokens.split('a\uFEFF<l>'), ['a\uFEFF', { id: 1 }])
    assert.deepEqual(tokens.split('word sword words é-word'), [{ id: 3 }, ' sword words é-', { id: 3 }])
    // Zero-width joiners are part of a word.
    assert.deepEqual(tokens.split('word\u200D \u200Cword'), ['word\u200D \u200Cword'])
    // The space that <r> swallowed begins another token.
    assert.deepEqual(tokens.split('<r> zz <r>  zz'), [{ id: 2 }, { id: 4 }, ' ', { id: 2 }, { id: 4 }])
    assert.deepEqual(tokens.split(''), [])
  })
})

suite('pre-tokenizers', () => {
  test('take contractions of any case, a long s included', () => {
    const regex = String.raw`(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`
    assert.deepEqual(piecesOf({ type: 'Split', pattern: { Regex: regex }, behavior: 'Isolated', invert: false }, "'ſab'Sab'rEa"), ["'ſ", 'ab', "'S", 'ab', "'rE", 'a'])
  })

  test('split digits of every script', () => {
    assert.deepEqual(piecesOf({ type: 'Digits', individual_digits: true }, 'a12४b'), ['a', '1', '2', '४', 'b'])
    assert.deepEqual(piecesOf({ type: 'Digits', individual_digits: false }, 'a12४b'), ['a', '12४', 'b'])
  })

  test('mark spaces, with and without splitting', () => {
    assert.deepEqual(piecesOf(metaspace({ prepend_scheme: 'always', split: true }), 'a  b'), ['▁a', '▁', '▁b'])
    assert.deepEqual(piecesOf(metaspace({ prepend_scheme: 'never', split: true }), 'a b'), ['a', '▁b'])
    assert.deepEqual(piecesOf(metaspace({ prepend_scheme: 'first', split: false }), 'a b'), ['▁a▁b'])
    assert.deepEqual(piecesOf(metaspace({ add_prefix_space: false }), 'a b'), ['a', '▁b'])
  })
})

suite('token decoders', () => {
  test('join byte tokens, with a U+FFFD for each byte that is no text', () => {
    const decode = tokenDecoder({ type: 'ByteFallback' })
    assert.deepEqual(decode(['a', '<0xEF>', '<0xBB>', '<0xBF>', 'b', '<0xE2>', '<0x82>', '<0xZZ>']), ['a', '\uFEFF', 'b', '\uFFFD\uFFFD', '<0xZZ>'])
  })

  test('strip, replace, fuse and unmark as Hugging Face does', () => {
    assert.deepEqual(tokenDecoder({ type: 'Strip', content: ' ', start: 1, stop: 1 })(['  a  ', ' ', 'b']), [' a ', '', 'b'])
    assert.deepEqual(tokenDecoder({ type: 'Replace', pattern: { String: '▁' }, content: '$&' })(['▁a▁']), ['$&a$&'])
    assert.deepEqual(tokenDecoder({ type: 'Metaspace', replacement: '▁', prepend_scheme: 'always', split: true })(['▁a', '▁b']), ['a', ' b'])
    assert.deepEqual(tokenDecoder({ type: 'Sequence', decoders: [{ type: 'Fuse' }, { type: 'Strip', content: 'a', start: 1, stop: 0 }] })(['a', 'a']), ['a'])
    assert.deepEqual(tokenDecoder({ type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: true })(['Ġa', 'Ã', '©', '<x y>']), [' aé<x y>'])
  })
})
