import assert from 'node:assert/strict'
import { after, before, suite, test } from 'node:test'
import { type Automaton, DEAD } from '../../src/constraint/automaton.js'
import { compileOutput } from '../../src/constraint/compile.js'
import type { Output } from '../../src/constraint/output.js'
import { MASKS_KEPT, TokenMasks, type Vocabulary, vocabularyOf } from '../../src/inference/token-masks.js'
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
      const automaton = compileOutput(output)
      const masks = new TokenMasks(automaton, vocabularyOf(tokens, vocabSize))
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
    const automaton = compileOutput({ json_schema: { type: 'string', maxLength: 3 * MASKS_KEPT } })
    const masks = new TokenMasks(automaton, vocabularyOf(tokens, tiny.base.manifest.config.vocabSize))
    const states = Array.from({ length: 2 * MASKS_KEPT }, (_, index) => index)
    const first = states.map(state => Array.from(masks.of(state, false)))
    assert.deepEqual(states.map(state => Array.from(masks.of(state, false))), first)
  })

  test('leave out tokens behind which only bytes without a token would do', () => {
    // "b" has no token of its own, so nothing can stand behind "a" but "bc".
    const masks = new TokenMasks(compileOutput({ regex: 'ab|abcd' }), vocabulary(['a', 'bc', 'd', 'ab']))
    assert.deepEqual([0, 1, 2, 3].filter(id => isSet(masks.of(0, false), id)), [3])
    assert.throws(() => new TokenMasks(compileOutput({ regex: 'xy' }), vocabulary(['x', 'z'])), { code: 'invalid_request', param: 'output' })
  })

  test('several tokens of the same bytes are all allowed, half characters too', () => {
    const masks = new TokenMasks(compileOutput({ regex: 'é+' }), vocabulary(['é', Uint8Array.of(0xc3), Uint8Array.of(0xa9), 'é', 'e']))
    assert.deepEqual([0, 1, 2, 3, 4].filter(id => isSet(masks.of(0, false), id)), [0, 1, 3])
    assert.deepEqual([0, 1, 2, 3, 4].filter(id => isSet(masks.of(masks.behind(0, 1, false), false), id)), [2])
  })

  test('the first token is read without the space that its decoder leaves out', () => {
    const masks = new TokenMasks(compileOutput({ regex: 'a b' }), vocabulary(['a', ' ', 'a', 'b', ' b'], ['a', ' ', ' a', 'b', ' b']))
    assert.deepEqual([0, 1, 2, 3, 4].filter(id => isSet(masks.of(0, true), id)), [0, 2])
    const behind = masks.behind(0, 2, true)
    assert.deepEqual([0, 1, 2, 3, 4].filter(id => isSet(masks.of(behind, false), id)), [1, 4])
  })
})
