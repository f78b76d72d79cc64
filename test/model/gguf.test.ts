import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, suite, test } from 'node:test'
import { MalformedModelError } from '../../src/errors.js'
import { openGgufLlama } from '../../src/model/gguf-llama.js'
import { readGguf } from '../../src/model/gguf.js'
import { optionalIntegers, textOf } from '../../src/model/gguf-values.js'
import type { LlamaConfig } from '../../src/model/llama-config.js'
import { ggufBytes } from '../support/gguf-writer.js'
import type { GgufField, GgufTensorBytes } from '../support/gguf-writer.js'

const folder = mkdtempSync(join(tmpdir(), 'permafrost-gguf-'))
after(() => { rmSync(folder, { recursive: true }) })
let files = 0
function stored (...written: Parameters<typeof ggufBytes>): string {
  const path = join(folder, `${files++}.gguf`)
  writeFileSync(path, ggufBytes(...written))
  return path
}

const floats = (...values: number[]): Uint8Array => new Uint8Array(Float32Array.from(values).buffer)
const tensor = (name: string, dims: readonly number[], data = floats(...Array.from({ length: dims.reduce((a, b) => a * b) }, (_, i) => i))): GgufTensorBytes => ({ name, dims, type: 0, data })
const uint32 = (value: number): GgufField => ({ type: 'uint32', value })

// Width 4, two heads of 2 over one, one layer, three tokens.
const FIELDS: Record<string, GgufField> = {
  'general.architecture': { type: 'string', value: 'llama' },
  'llama.block_count': uint32(1),
  'llama.context_length': uint32(16),
  'llama.embedding_length': uint32(4),
  'llama.feed_forward_length': uint32(6),
  'llama.attention.head_count': uint32(2),
  'llama.attention.head_count_kv': uint32(1),
  'llama.attention.layer_norm_rms_epsilon': { type: 'float32', value: 1e-5 },
  'tokenizer.ggml.tokens': { type: 'strings', value: ['a', 'b', 'c'] }
}
const TENSORS = [
  tensor('token_embd.weight', [4, 3]), tensor('output_norm.weight', [4]),
  tensor('blk.0.attn_norm.weight', [4]), tensor('blk.0.ffn_norm.weight', [4]),
  tensor('blk.0.attn_q.weight', [4, 4]), tensor('blk.0.attn_k.weight', [4, 2]), tensor('blk.0.attn_v.weight', [4, 2]), tensor('blk.0.attn_output.weight', [4, 4]),
  tensor('blk.0.ffn_gate.weight', [4, 6]), tensor('blk.0.ffn_up.weight', [4, 6]), tensor('blk.0.ffn_down.weight', [6, 4])
]

function configOf (fields: Record<string, GgufField>, tensors = TENSORS): LlamaConfig {
  const source = openGgufLlama(stored({ ...FIELDS, ...fields }, tensors))
  source.close()
  return source.config
}

/** Which row of the file stands where, for rows of 4 that count up. */
const rowsOf = (values: Float32Array): number[] => [...values].filter((_, i) => i % 4 === 0).map(first => first / 4)

suite('readGguf()', () => {
  for (const version of [2, 3]) {
    test(`reads version ${version}, shapes as rows and columns, offsets from the start of the file`, () => {
      const path = stored({ 'general.name': { type: 'string', value: 'x' } }, [tensor('a', [3, 2]), tensor('b', [1])], { version })
      const { tensors, warnings, version: found } = readGguf(path)
      assert.equal(found, version)
      assert.deepEqual(tensors.get('a'), { name: 'a', type: 'F32', shape: [2, 3], offset: 128 + 32, bytes: 24 })
      assert.deepEqual(tensors.get('b'), { name: 'b', type: 'F32', shape: [1], offset: 128 + 64, bytes: 4 })
      // The writer pads the last tensor too.
      assert.deepEqual(warnings, [])
    })
  }

  test('text that is not UTF-8 is refused by who needs it', () => {
    const { metadata } = readGguf(stored({ key: { type: 'string', value: Uint8Array.of(0xff, 0x41) } }, []))
    assert.throws(() => textOf(metadata, 'key'), { message: 'key is not UTF-8' })
    assert.throws(() => textOf(metadata, 'other'), { message: 'key other is missing' })
  })

  test('texts and numbers across the window of the reader', () => {
    const long = 'é'.repeat(200_000)
    const { metadata } = readGguf(stored({ long: { type: 'string', value: long }, list: { type: 'uint32s', value: Array.from({ length: 70_000 }, (_, i) => i) } }, []))
    assert.equal(textOf(metadata, 'long'), long)
    assert.deepEqual(optionalIntegers(metadata, 'list')?.slice(-2), [69_998, 69_999])
  })

  test('a folder is no file', () => {
    assert.throws(() => readGguf(folder), MalformedModelError)
  })
})

suite('openGgufLlama()', () => {
  test('rows of Q and K go from neighbouring pairs to halves', () => {
    const source = openGgufLlama(stored({ ...FIELDS, 'llama.attention.key_length': uint32(4) }, TENSORS.map(({ name, dims }) => {
      if (!/attn_[qkvo]/.test(name)) return tensor(name, dims)
      const rows = /_q/.test(name) ? 8 : 4
      return tensor(name, /output/.test(name) ? [8, 4] : [4, rows])
    })))
    assert.deepEqual(rowsOf(source.read('model.layers.0.self_attn.q_proj.weight')), [0, 2, 1, 3, 4, 6, 5, 7])
    assert.deepEqual(rowsOf(source.read('model.layers.0.self_attn.k_proj.weight')), [0, 2, 1, 3])
    assert.deepEqual(rowsOf(source.read('model.layers.0.self_attn.v_proj.weight')), [0, 1, 2, 3])
    source.close()
  })

  test('a key given once for each layer counts when all agree', () => {
    assert.equal(configOf({ 'llama.attention.head_count': { type: 'uint32s', value: [2] } }).numHeads, 2)
    const twoLayers = [...TENSORS, ...TENSORS.filter(({ name }) => name.startsWith('blk.0.')).map(({ name, dims }) => tensor(name.replace('0', '1'), dims))]
    assert.throws(() => configOf({ 'llama.block_count': uint32(2), 'llama.feed_forward_length': { type: 'uint32s', value: [6, 8] } }, twoLayers), /layers of different shape \(6, 8\)/)
  })

  test('rotary scalings change the frequencies', () => {
    const plain = configOf({}).ropeInverseFrequencies
    assert.deepEqual(plain, [1])
    assert.deepEqual(configOf({ 'llama.rope.scaling.type': { type: 'string', value: 'linear' }, 'llama.rope.scaling.factor': { type: 'float32', value: 4 } }).ropeInverseFrequencies, [0.25])
    assert.deepEqual(configOf({}, [...TENSORS, tensor('rope_freqs.weight', [1], floats(2))]).ropeInverseFrequencies, [0.5])
    assert.throws(() => configOf({}, [...TENSORS, tensor('rope_freqs.weight', [2], floats(2, 2))]), /rope_freqs\.weight has 2 values; half a head is 1/)
    assert.throws(() => configOf({}, [...TENSORS, tensor('rope_freqs.weight', [1], floats(0))]), /rope_freqs\.weight is 0 at index 0/)
  })

  test('all ends of a turn count, tokens that do not exist are not used', () => {
    const ids = { 'tokenizer.ggml.bos_token_id': uint32(9), 'tokenizer.ggml.eos_token_id': uint32(1), 'tokenizer.ggml.eot_token_id': uint32(2) }
    const { bosTokenId, eosTokenIds } = configOf(ids)
    assert.deepEqual({ bosTokenId, eosTokenIds }, { bosTokenId: null, eosTokenIds: [1, 2] })
  })

  test('a head of its own is no tied embedding', () => {
    assert.equal(configOf({}).tiedEmbeddings, true)
    assert.equal(configOf({}, [...TENSORS, tensor('output.weight', [4, 3])]).tiedEmbeddings, false)
  })
})
