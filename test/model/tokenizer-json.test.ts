import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { suite, test } from 'node:test'
import { MalformedModelError } from '../../src/errors.js'
import { GPT2_PATTERN } from '../../src/model/pretokenizers.js'
import { idsAround, validateTokenizerJson } from '../../src/model/tokenizer-json.js'
import { PROJECT_ROOT } from '../../src/project.js'
import { fixturesFolder } from '../support/shared.js'

const SOURCE = readFileSync(join(PROJECT_ROOT, 'test', 'support', 'tokenizer.json'), 'utf8')

/** The test tokenizer with one value replaced: `edited('model.type', 'Unigram')`. */
function edited (path: string, value: unknown): string {
  const json = JSON.parse(SOURCE) as Record<string, unknown>
  const keys = path.split('.')
  const parent = keys.slice(0, -1).reduce((object, key) => object[key] as Record<string, unknown>, json)
  parent[keys.at(-1)!] = value
  return JSON.stringify(json)
}

function vocabWith (token: string, id: number): Record<string, number> {
  return { ...(JSON.parse(SOURCE) as { model: { vocab: Record<string, number> } }).model.vocab, [token]: id }
}

function split (Regex: string, behavior = 'Isolated', invert = false): unknown {
  return { type: 'Split', pattern: { Regex }, behavior, invert }
}

function added (id: number, content: string): unknown[] {
  return [{ id, content, special: true }]
}

function refuses (source: string | Uint8Array, message: RegExp, vocabSize?: number): void {
  assert.throws(() => validateTokenizerJson(source, vocabSize === undefined ? {} : { vocabSize }), (error: unknown) => {
    assert.ok(error instanceof MalformedModelError, String(error))
    assert.match(error.message, message)
    return true
  })
}

suite('validateTokenizerJson()', () => {
  test('gives an ordinary tokenizer.json that checks again', () => {
    const json = validateTokenizerJson(SOURCE)
    assert.deepEqual(validateTokenizerJson(JSON.stringify(json)), json)
    assert.deepEqual(idsAround(json.post_processor), { before: [341], after: [] })
    assert.equal(Object.keys(json.model.vocab).length, 341)
  })

  test('skips a byte order mark and drops truncation and padding', () => {
    const json = validateTokenizerJson(Buffer.from(`\uFEFF${edited('truncation', { max_length: 4 })}`))
    assert.equal(json.truncation, null)
  })

  test('reads the options of older files', () => {
    const merges = validateTokenizerJson(edited('model.merges', ['h e', 'Ġ t'])).model.merges
    assert.deepEqual(merges, [['h', 'e'], ['Ġ', 't']])
    assert.equal(validateTokenizerJson(edited('model.type', undefined)).model.type, 'BPE')
    assert.deepEqual(validateTokenizerJson(edited('pre_tokenizer', split(GPT2_PATTERN, 'Removed', true))).pre_tokenizer, split(GPT2_PATTERN))
  })

  test('refuses what it cannot read as text', () => {
    refuses('', /is empty/)
    refuses(Uint8Array.of(0x7b, 0xff, 0x7d), /not valid UTF-8/)
    refuses(SOURCE.slice(0, 1000), /not valid JSON/)
    refuses('[]', /must be an object, found an array/)
  })

  test('names the part that is not supported', () => {
    refuses(edited('model.type', 'Unigram'), /model type 'Unigram' is not supported/)
    refuses(edited('pre_tokenizer', { type: 'Wavelet' }), /pre-tokenizer type 'Wavelet'/)
    refuses(edited('normalizer', { type: 'Lowercase' }), /normalizer type 'Lowercase'/)
    refuses(edited('decoder', { type: 'CTC' }), /decoder type 'CTC'/)
    refuses(edited('post_processor', { type: 'BertProcessing' }), /post-processor type 'BertProcessing'/)
    refuses(edited('pre_tokenizer', { type: 'ByteLevel', add_prefix_space: true }), /add_prefix_space/)
    refuses(edited('model.dropout', 0.1), /model\.dropout/)
  })

  test('never compiles a pattern that is not known', () => {
    refuses(edited('pre_tokenizer', split('(x+x+)+y')), /\(x\+x\+\)\+y.*exponentially/)
    refuses(edited('pre_tokenizer', split('(unclosed')), /'\(unclosed' is not a valid regular expression/)
    refuses(edited('pre_tokenizer', split('a|b')), /'a\|b' is not one of the known/)
    refuses(edited('pre_tokenizer', split('x'.repeat(2000))), /2000 characters long, limit 1000/)
    refuses(edited('pre_tokenizer', split(String.raw`\p{N}`, 'Removed', true)), /Removed/)
    refuses(edited('normalizer', { type: 'Replace', pattern: { Regex: '(a+)+' }, content: '' }), /regular expression is not supported/)
  })

  test('limits depth', () => {
    let steps: unknown = { type: 'Digits', individual_digits: true }
    for (let i = 0; i < 20; i++) steps = { type: 'Sequence', pretokenizers: [steps] }
    refuses(edited('pre_tokenizer', steps), /nested more than 4 levels/)
  })

  test('checks ids', () => {
    refuses(edited('model.vocab', vocabWith('zzz', -1)), /'zzz' has the negative id -1/)
    refuses(edited('model.vocab', vocabWith('zzz', 15)), /tokens '0' and 'zzz' share the id 15/)
    refuses(edited('model.vocab', vocabWith('zzz', 0.5)), /'zzz' has no integer id/)
    refuses(edited('model.vocab', vocabWith('zzz', 5000)), /'zzz' has id 5000/)
    refuses(edited('model.vocab', vocabWith('zzz', 344)), /'zzz' has id 344; the model's vocabulary has 344 entries/, 344)
    assert.equal(validateTokenizerJson(edited('model.vocab', vocabWith('__proto__', 344)), { vocabSize: 345 }).model.vocab['__proto__'], 344)
  })

  test('checks merges', () => {
    refuses(edited('model.merges', [['zz', 'qq']]), /'zz' \+ 'qq' names pieces/)
    refuses(edited('model.merges', [['0', '1']]), /makes '01'/)
    refuses(edited('model.merges', ['he']), /merges\[0\] does not name two pieces/)
    refuses(edited('model.merges', [['constructor', 'toString']]), /not in the vocabulary/)
  })

  test('checks added tokens', () => {
    refuses(edited('added_tokens', added(3, '<|x|>')), /share the id 3/)
    refuses(edited('added_tokens', added(341, '')), /content is empty/)
    refuses(edited('added_tokens', [...added(341, '<a>'), ...added(342, '<a>')]), /added twice/)
    refuses(edited('added_tokens', added(2 ** 40, '<a>')), /added_tokens\[0\]\.id/)
    refuses(edited('added_tokens', added(342, '<|begin_of_text|>')), /<\|begin_of_text\|>.* has the id 342, not 341/)
  })
})

suite('malformed tokenizers', () => {
  const folder = fixturesFolder('malformed')
  if (folder === null) {
    test('none here', { skip: 'no reference data (PERMAFROST_FIXTURES)' }, () => {})
    return
  }
  const { entries } = JSON.parse(readFileSync(join(folder, 'manifest.json'), 'utf8')) as { entries: Array<{ path: string, kind: string, expect: string }> }
  for (const { path, expect } of entries.filter(entry => entry.kind === 'tokenizer')) {
    test(`${expect}: ${path}`, () => {
      const bytes = readFileSync(join(folder, path))
      const start = performance.now()
      if (expect === 'reject') refuses(bytes, /./)
      else assert.doesNotThrow(() => validateTokenizerJson(bytes))
      assert.ok(performance.now() - start < 2000)
    })
  }
})
