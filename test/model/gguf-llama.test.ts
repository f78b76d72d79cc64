import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { basename } from 'node:path'
import { suite, test } from 'node:test'
import { openGgufLlama } from '../../src/model/gguf-llama.js'
import { defaultFrequencies, divideFrequencies, linearScaling } from '../../src/model/rope-frequencies.js'
import { fixturesFolder } from '../support/shared.js'

const folder = fixturesFolder('gguf', 'tiny-llama')
const MODELS = folder === null ? [] : readdirSync(folder).filter(name => name.endsWith('.gguf')).map(name => basename(name, '.gguf'))

suite('openGgufLlama()', { skip: folder === null && 'no reference numbers (PERMAFROST_FIXTURES)' }, () => {
  test('there are models', () => assert.ok(MODELS.length > 0))
  for (const model of MODELS) {
    const reference = JSON.parse(readFileSync(`${folder}/${model}.json`, 'utf8'))

    test(`${model}: weights in Hugging Face row order, bit for bit`, () => {
      const source = openGgufLlama(`${folder}/${model}.gguf`)
      try {
        for (const { hf_name: name, hf_f32_sha256: sha256 } of reference.tensors) {
          if (name === null) continue
          const values = source.read(name)
          assert.equal(createHash('sha256').update(new Uint8Array(values.buffer)).digest('hex'), sha256, name)
        }
      } finally {
        source.close()
      }
    })

    test(`${model}: configuration`, () => {
      const source = openGgufLlama(`${folder}/${model}.gguf`)
      source.close()
      const { config } = source
      const expected = reference.config
      const plain = defaultFrequencies(expected.head_dim, expected.rope_theta)
      const { rope_freqs: divisors, factor } = expected.rope_scaling ?? {}
      assert.deepEqual(config, {
        family: 'llama',
        vocabSize: expected.vocab_size,
        hiddenSize: expected.hidden_size,
        numLayers: expected.num_hidden_layers,
        numHeads: expected.num_attention_heads,
        numKvHeads: expected.num_key_value_heads,
        headSize: expected.head_dim,
        intermediateSize: expected.intermediate_size,
        rmsNormEps: Math.fround(expected.rms_norm_eps),
        ropeInverseFrequencies: divisors !== undefined ? divideFrequencies(plain, Float32Array.from(divisors)) : factor === undefined ? plain : linearScaling(plain, factor),
        contextLength: expected.max_position_embeddings,
        tiedEmbeddings: expected.tie_word_embeddings,
        bosTokenId: expected.bos_token_id,
        eosTokenIds: [expected.eos_token_id]
      })
      assert.deepEqual(source.warnings, [])
    })
  }
})
