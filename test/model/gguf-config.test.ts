/** Metadata made up here, for what no whole file covers. */
import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { MalformedModelError } from '../../src/errors.js'
import { ggufLlamaConfig } from '../../src/model/gguf-config.js'
import type { Gguf } from '../../src/model/gguf.js'
import type { GgufScalarType, GgufValue } from '../../src/model/gguf-values.js'

const scalar = (type: GgufScalarType, value: string | number): GgufValue => ({ type, value })

function llama (more: Readonly<Record<string, GgufValue>>): Gguf {
  const tokens: GgufValue = { type: 'array', value: { of: 'string', values: ['a', 'b', 'c'] } }
  const metadata = new Map(Object.entries({
    'general.architecture': scalar('string', 'llama'), 'tokenizer.ggml.tokens': tokens,
    'llama.block_count': scalar('uint32', 1), 'llama.context_length': scalar('uint32', 64), 'llama.embedding_length': scalar('uint32', 8),
    'llama.feed_forward_length': scalar('uint32', 12), 'llama.attention.head_count': scalar('uint32', 2),
    'llama.attention.layer_norm_rms_epsilon': scalar('float32', 1e-5), ...more
  }))
  const embedding = { name: 'token_embd.weight', type: 'F32', shape: [3, 8], offset: 0, bytes: 96 } as const
  return { version: 3, metadata, tensors: new Map([[embedding.name, embedding]]), warnings: [] }
}

function frequencies (more: Readonly<Record<string, GgufValue>>): readonly number[] {
  return ggufLlamaConfig(llama(more), null).config.ropeInverseFrequencies
}

suite('ggufLlamaConfig()', () => {
  test('divides the angles by a linear scaling, under its name of today and of old', () => {
    const halved = frequencies({}).map(value => value / 2)
    const factor = scalar('float32', 2)
    assert.deepEqual(frequencies({ 'llama.rope.scaling.type': scalar('string', 'linear'), 'llama.rope.scaling.factor': factor }), halved)
    assert.deepEqual(frequencies({ 'llama.rope.scale_linear': factor }), halved)
    assert.deepEqual(frequencies({ 'llama.rope.scaling.type': scalar('string', 'none'), 'llama.rope.scaling.factor': factor }), frequencies({}))
  })

  const refused: Array<[what: string, Gguf, ropeFreqs: Float32Array | null, RegExp]> = [
    ['a scaling that makes angles infinite', llama({ 'llama.rope.scaling.factor': scalar('float32', 1e-40) }), null, /make an angle of rotation Infinity/],
    ['divisors that make angles infinite', llama({}), Float32Array.of(1, 1e-42), /make an angle of rotation Infinity/],
    ['an epsilon beyond float32', llama({ 'llama.attention.layer_norm_rms_epsilon': scalar('float64', 1e60) }), null, /rms_epsilon is 1e\+60; a positive float32 number/],
    ['an epsilon that float32 makes 0', llama({ 'llama.attention.layer_norm_rms_epsilon': scalar('float64', 1e-60) }), null, /rms_epsilon is 1e-60; a positive float32 number/]
  ]
  for (const [what, gguf, ropeFreqs, message] of refused) {
    test(`refuses ${what}`, () => {
      assert.throws(() => ggufLlamaConfig(gguf, ropeFreqs), (error: unknown) => error instanceof MalformedModelError && message.test(error.message))
    })
  }
})
