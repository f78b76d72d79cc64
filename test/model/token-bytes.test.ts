import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { suite, test } from 'node:test'
import { tokenizerFromJson } from '../../src/model/bpe-tokenizer.js'
import { tokenBytes } from '../../src/model/token-bytes.js'
import { validateTokenizerJson } from '../../src/model/tokenizer-json.js'
import { PROJECT_ROOT } from '../../src/project.js'

const BYTE_LEVEL = readFileSync(join(PROJECT_ROOT, 'test', 'support', 'tokenizer.json'))

/** As Llama's own file: pieces with a mark for the space, bytes as tokens. */
const BYTE_FALLBACK = Buffer.from(JSON.stringify({
  version: '1.0', truncation: null, padding: null, post_processor: null,
  added_tokens: [{ id: 0, content: '<s>', single_word: false, lstrip: false, rstrip: false, normalized: false, special: true }],
  normalizer: { type: 'Sequence', normalizers: [{ type: 'Prepend', prepend: '▁' }, { type: 'Replace', pattern: { String: ' ' }, content: '▁' }] },
  pre_tokenizer: null,
  decoder: { type: 'Sequence', decoders: [{ type: 'Replace', pattern: { String: '▁' }, content: ' ' }, { type: 'ByteFallback' }, { type: 'Fuse' }, { type: 'Strip', content: ' ', start: 1, stop: 0 }] },
  model: {
    type: 'BPE', dropout: null, unk_token: '<s>', continuing_subword_prefix: null, end_of_word_suffix: null, fuse_unk: true, byte_fallback: true, ignore_merges: false,
    vocab: { '<s>': 0, '<0xC3>': 1, '<0xA9>': 2, '<0x0A>': 3, '<0x20>': 4, '▁': 5, 'a': 6, '▁a': 7, '▁▁': 8, '日': 9 }, merges: [['▁', 'a'], ['▁', '▁']]
  }
}))

for (const [name, file] of [['byte level', BYTE_LEVEL], ['byte fallback', BYTE_FALLBACK]] as const) {
  suite(`tokens as bytes: ${name}`, () => {
    const json = validateTokenizerJson(file)
    const tokenizer = tokenizerFromJson(json)
    const { first, later } = tokenBytes(json)

    test('the bytes of tokens in a row are those of the text they are decoded to', () => {
      const ids = Array.from({ length: tokenizer.vocabSize }, (_, id) => id)
      for (const a of ids) {
        for (const b of ids.filter(id => (id + a) % 7 === 0)) {
          for (const c of ids.filter(id => (id + b) % 89 === 0)) {
            const bytes = [a, b, c].map((id, place) => (place === 0 ? first : later)[id])
            // Without text of its own it does not come first, see there.
            if (bytes.includes(undefined)) continue
            assert.equal(Buffer.concat(bytes as Uint8Array[]).toString(), tokenizer.decode([a, b, c]), `${a} ${b} ${c}`)
          }
        }
      }
    })

    test('control tokens have none', () => {
      for (const { id, special } of json.added_tokens) if (special) assert.deepEqual([first[id], later[id]], [undefined, undefined])
    })
  })
}
