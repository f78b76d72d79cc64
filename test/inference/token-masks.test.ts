import assert from 'node:assert/strict'
import { after, before, suite, test } from 'node:test'
import { type Automaton, DEAD } from '../../src/constraint/automaton.js'
import { compileOutput } from '../../src/constraint/compile.js'
import type { Output } from '../../src/constraint/output.js'
import { MASKS_KEPT, TokenMasks } from '../../src/inference/token-masks.js'
import { type Vocabulary, vocabularyOf } from '../../src/inference/vocabulary.js'
import { loadTokenBytes, type TokenBytes } from '../../src/model/token-bytes.js'
import { tinyBase, type TestBase } from './tiny-base.js'

const OUTPUTS: readonly Output[] = [
  { choices: ['yes', 'yesterday', 'größe'] },
  { regex: '[a-zäöü ]{2,6}!?' },
  { json_schema: { type: 'object', properties: { a: { type: 'string' }, b: { type: 'integer' } }, required: ['b'] } }
]

function isSet (mask: Uint32Array, id: number): boolean {
  return (mask[id >>> 5]! >>> (id & 31) & 1) === 1
}

function bytesOf (tokens: ReadonlyArray<string | Uint8Array>): Uint8Array[] {
  return tokens.map(token => typeof token === 'string' ? Buffer.from(token) : token)
}

function vocabulary (first: ReadonlyArray<string | Uint8Array>, later = first): Vocabulary {
  return vocabularyOf({ first: bytesOf(first), later: bytesOf(later) }, first.length)
}

function behindByte ({ table, numClasses, classes }: Automaton, state: number, byte: number): number | undefined {
  const target = table[state * numClasses + classes[byte]!]!
  return target === DEAD ? undefined : target
}

function masksOf (output: Output, words: Vocabulary): TokenMasks {
  return new TokenMasks(compileOutput(output, words.singleBytes), words)
}

suite('token masks', () => {
  let tiny: TestBase
  let tokens: TokenBytes
  before(async () => {
    tiny = await tinyBase()
    tokens = await loadTokenBytes(tiny.base.folder)
  })
  after(async () => await tiny.dispose())

  test('are those of trying every token, in every state that is reached', () => {
    const { vocabSize } = tiny.base.manifest.config
    for (const output of OUTPUTS) {
      const words = vocabularyOf(tokens, vocabSize)
      const compiled = compileOutput(output, words.singleBytes)
      const { automaton } = compiled
      const masks = new TokenMasks(compiled, words)
      const seen = new Set([0])
      for (const state of seen) {
        if (seen.size > 300) break
        const mask = masks.of(state, false)
        for (let id = 0; id < vocabSize; id++) {
          const bytes = tokens.later[id]
          let at: number | undefined = bytes === undefined ? undefined : state
          // Whatever is reached can be completed: the tiny tokenizer has a token for each byte.
          for (const byte of bytes ?? []) at = at === undefined ? undefined : behindByte(automaton, at, byte)
          assert.equal(isSet(mask, id), at !== undefined, `token ${id} in state ${state} of ${JSON.stringify(output)}`)
          if (at === undefined) continue
          assert.equal(masks.behind(state, id, false), at)
          seen.add(at)
        }
      }
      assert.ok(seen.size > 5)
    }
  })

  test('do not depend on which are remembered', () => {
    const masks = masksOf({ json_schema: { type: 'string', maxLength: 3 * MASKS_KEPT } }, vocabularyOf(tokens, tiny.base.manifest.config.vocabSize))
    const states = Array.from({ length: 2 * MASKS_KEPT }, (_, index) => index)
    const first = states.map(state => Array.from(masks.of(state, false)))
    assert.deepEqual(states.map(state => Array.from(masks.of(state, false))), first)
  })

  test('leave out tokens behind which only bytes without a token would do', () => {
    // "b" has no token of its own, so nothing can stand behind "a" but "bc".
    const masks = masksOf({ regex: 'ab|abcd' }, vocabulary(['a', 'bc', 'd', 'ab']))
    assert.deepEqual([0, 1, 2, 3].filter(id => isSet(masks.of(0, false), id)), [3])
    assert.throws(() => masksOf({ regex: 'xy' }, vocabulary(['x', 'z'])), { code: 'invalid_request', param: 'output', message: 'the base has no tokens to write it with' })
    assert.throws(() => masksOf({ regex: ' b' }, vocabulary(['b', 'b'], [' ', 'b'])), { code: 'invalid_request', param: 'output' })
  })

  test('several tokens of the same bytes are all allowed, half characters too', () => {
    const masks = masksOf({ regex: 'é+' }, vocabulary(['é', Uint8Array.of(0xc3), Uint8Array.of(0xa9), 'é', 'e']))
    assert.deepEqual([0, 1, 2, 3, 4].filter(id => isSet(masks.of(0, false), id)), [0, 1, 3])
    assert.deepEqual([0, 1, 2, 3, 4].filter(id => isSet(masks.of(masks.behind(0, 1, false), false), id)), [2])
  })

  test('the first token is read without the space that its decoder leaves out', () => {
    const masks = masksOf({ regex: 'a b' }, vocabulary(['a', ' ', 'a', 'b', ' b'], ['a', ' ', ' a', 'b', ' b']))
    assert.deepEqual([0, 1, 2, 3, 4].filter(id => isSet(masks.of(0, true), id)), [0, 2])
    const behind = masks.behind(0, 2, true)
    assert.deepEqual([0, 1, 2, 3, 4].filter(id => isSet(masks.of(behind, false), id)), [1, 4])
  })
})
