import assert from 'node:assert/strict'
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { suite, test } from 'node:test'
import { MalformedModelError } from '../../src/errors.js'
import { hfLlamaConfig } from '../../src/model/hf-config.js'
import { openHfLlama } from '../../src/model/hf-folder.js'
import { llamaTensors } from '../../src/model/llama-tensors.js'
import { encodeSafetensors } from '../../src/model/safetensors-writer.js'
import { fixturesFolder } from '../support/shared.js'

const LLAMA = {
  model_type: 'llama', hidden_act: 'silu', hidden_size: 8, intermediate_size: 12, num_hidden_layers: 2, num_attention_heads: 2, num_key_value_heads: 1,
  vocab_size: 20, max_position_embeddings: 64, rms_norm_eps: 1e-5, bos_token_id: 1, eos_token_id: 2, rope_theta: 10_000
}

function frequenciesOf (fields: object): readonly number[] {
  return hfLlamaConfig({ ...LLAMA, ...fields }, null).config.ropeInverseFrequencies
}

suite('hfLlamaConfig()', () => {
  test('both styles of rotary parameters mean the same', () => {
    const linear = { rope_type: 'linear', factor: 2 }
    assert.deepEqual(frequenciesOf({ rope_theta: 500, rope_scaling: linear }), frequenciesOf({ rope_theta: undefined, rope_parameters: { ...linear, rope_theta: 500 } }))
    assert.deepEqual(frequenciesOf({ rope_scaling: null }), frequenciesOf({ rope_theta: undefined, rope_parameters: { rope_type: 'default', rope_theta: 10_000 } }))
    assert.deepEqual(frequenciesOf({ rope_scaling: { type: 'linear', factor: 4 } }), frequenciesOf({}).map(value => value / 4))
  })

  test('of both styles the one that transformers takes', () => {
    const parameters = { rope_type: 'default', rope_theta: 10_000 }
    assert.deepEqual(frequenciesOf({ rope_scaling: { rope_type: 'linear', factor: 4 }, rope_parameters: parameters }), frequenciesOf({}).map(value => value / 4))
    for (const empty of [{}, null]) assert.deepEqual(frequenciesOf({ rope_theta: 500, rope_scaling: empty, rope_parameters: parameters }), frequenciesOf({}))
  })

  test('the original context of llama3 scaling may stand beside it, or be the whole', () => {
    const scaling = { rope_type: 'llama3', factor: 8, low_freq_factor: 1, high_freq_factor: 4 }
    const given = (original: number): readonly number[] => frequenciesOf({ rope_scaling: { ...scaling, original_max_position_embeddings: original } })
    assert.deepEqual(frequenciesOf({ rope_scaling: scaling }), given(64))
    assert.deepEqual(frequenciesOf({ rope_scaling: { ...scaling, original_max_position_embeddings: 64 }, original_max_position_embeddings: 16 }), given(16))
  })

  test('llama3 scaling gives the numbers of transformers', () => {
    // rope_init_fn of LlamaConfig(hidden_size=32, num_attention_heads=2, rope_theta=500000, llama3: 8, 1, 4, 32), transformers 5.17
    const scaling = { rope_type: 'llama3', factor: 8, low_freq_factor: 1, high_freq_factor: 4, original_max_position_embeddings: 32 }
    const plain = frequenciesOf({ hidden_size: 48, head_dim: 24, rope_theta: 500_000 })
    const scaled = frequenciesOf({ hidden_size: 48, head_dim: 24, rope_theta: 500_000, rope_scaling: scaling })
    const divisors = plain.map((value, i) => value / scaled[i]!)
    const expected = [1, 3.0211046, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8]
    divisors.forEach((value, i) => { assert.ok(Math.abs(value - expected[i]!) < 2e-6, `${i}: ${value} for ${expected[i]}`) })
  })

  test('the end tokens of generation_config.json count', () => {
    assert.deepEqual(hfLlamaConfig(LLAMA, { eos_token_id: [2, 5, 2] }).config.eosTokenIds, [2, 5])
    assert.deepEqual(hfLlamaConfig(LLAMA, { bos_token_id: 1 }).config.eosTokenIds, [2])
    assert.deepEqual(hfLlamaConfig({ ...LLAMA, eos_token_id: null, bos_token_id: null }, null).config, { ...hfLlamaConfig(LLAMA, null).config, bosTokenId: null, eosTokenIds: [] })
  })

  test('a token outside the vocabulary is told and not used', () => {
    const { config, warnings } = hfLlamaConfig({ ...LLAMA, eos_token_id: [2, 20] }, null)
    assert.deepEqual(config.eosTokenIds, [2])
    assert.deepEqual(warnings, ['eos_token_id 20 is no token of 20 and is not used'])
  })

  const refused: Array<[object, RegExp]> = [
    [{ model_type: 'quantum' }, /model_type "quantum" is not supported/],
    [{ hidden_act: 'gelu' }, /hidden_act "gelu"/],
    [{ attention_bias: true }, /attention_bias true/],
    [{ mlp_bias: true }, /mlp_bias true/],
    [{ quantization_config: { bits: 4 } }, /quantization_config/],
    [{ num_hidden_layers: '2' }, /num_hidden_layers must be an integer, found the string "2"/],
    [{ num_hidden_layers: -2 }, /num_hidden_layers must be a positive integer, found -2/],
    [{ num_attention_heads: 3, num_key_value_heads: 3 }, /hidden_size 8 is not a multiple of num_attention_heads 3/],
    [{ num_attention_heads: 4, num_key_value_heads: 3 }, /num_attention_heads 4 is not a multiple of num_key_value_heads 3/],
    [{ head_dim: 5 }, /a head of 5/],
    [{ max_position_embeddings: 1e9 }, /max_position_embeddings is 1000000000, limit/],
    [{ rope_scaling: { rope_type: 'yarn', factor: 2 } }, /rope_scaling of type "yarn" is not supported/],
    [{ rope_parameters: { rope_type: 'dynamic', rope_theta: 1e4 } }, /rope_parameters of type "dynamic" is not supported/],
    [{ rope_scaling: { rope_type: 'linear' } }, /factor is missing/],
    [{ rope_scaling: { rope_type: 'linear', factor: 1e-40 } }, /the rope fields make an angle of rotation Infinity/],
    [{ rope_theta: Infinity }, /rope_theta must be a positive float32 number, found Infinity/],
    [{ rms_norm_eps: 1e60 }, /rms_norm_eps must be a positive float32 number, found 1e\+60/],
    [{ partial_rotary_factor: 0.5 }, /partial_rotary_factor/],
    [{ rms_norm_eps: null, vocab_size: null }, /vocab_size is missing/]
  ]
  for (const [fields, message] of refused) {
    test(`refuses ${JSON.stringify(fields)}`, () => {
      assert.throws(() => hfLlamaConfig({ ...LLAMA, ...fields }, null), (error: unknown) => error instanceof MalformedModelError && message.test(error.message))
    })
  }
})

/** A folder with small random weights, which `change` may spoil. */
function withFolder (change: (folder: string, tensors: Map<string, { shape: readonly number[], values: Float32Array }>) => void, use: (folder: string) => void): void {
  const folder = mkdtempSync(join(tmpdir(), 'permafrost-hf-'))
  try {
    const { config } = hfLlamaConfig(LLAMA, null)
    const tensors = new Map([...llamaTensors(config)].map(({ name, shape }, i) => [name, { shape, values: new Float32Array(shape.reduce((a, b) => a * b)).fill(i) }]))
    writeFileSync(join(folder, 'config.json'), JSON.stringify(LLAMA))
    change(folder, tensors)
    if (tensors.size > 0) writeFileSync(join(folder, 'model.safetensors'), encodeSafetensors(tensors))
    use(folder)
  } finally {
    rmSync(folder, { recursive: true })
  }
}

suite('openHfLlama()', () => {
  test('reads every tensor', () => {
    withFolder(() => {}, folder => {
      const source = openHfLlama(folder)
      assert.deepEqual([...llamaTensors(source.config)].map(({ name }) => source.read(name)[0]), Array.from({ length: 21 }, (_, i) => i))
      assert.deepEqual(source.warnings, [])
      source.close()
    })
  })

  test('takes the names of a bare decoder, tells unused tensors', () => {
    withFolder((folder, tensors) => {
      writeFileSync(join(folder, 'config.json'), JSON.stringify({ ...LLAMA, tie_word_embeddings: true }))
      const stored = new Map(tensors)
      tensors.clear()
      for (const [name, tensor] of stored) if (name !== 'lm_head.weight') tensors.set(name.replace('model.', ''), tensor)
      tensors.set('layers.7.x', { shape: [1], values: Float32Array.of(1) })
    }, folder => {
      const source = openHfLlama(folder)
      assert.equal(source.read('model.norm.weight')[0], 19)
      assert.deepEqual(source.warnings, ['unused tensor "layers.7.x" is ignored'])
      source.close()
    })
  })

  const tied = JSON.stringify({ ...LLAMA, tie_word_embeddings: true })

  test('takes a head that differs from the embedding it should be tied to', () => {
    withFolder(folder => { writeFileSync(join(folder, 'config.json'), tied) }, folder => {
      const source = openHfLlama(folder)
      assert.equal(source.config.tiedEmbeddings, false)
      assert.deepEqual([source.read('model.embed_tokens.weight')[0], source.read('lm_head.weight')[0]], [0, 20])
      assert.match(source.warnings.join(), /lm_head\.weight is not the embedding again/)
      source.close()
    })
  })

  test('tied weights are found under either name, or under both', () => {
    for (const absent of ['model.embed_tokens.weight', null, 'lm_head.weight']) {
      withFolder((folder, tensors) => {
        writeFileSync(join(folder, 'config.json'), tied)
        tensors.set('model.embed_tokens.weight', tensors.get('lm_head.weight')!)
        if (absent !== null) tensors.delete(absent)
      }, folder => {
        const source = openHfLlama(folder)
        assert.deepEqual([source.config.tiedEmbeddings, source.read('model.embed_tokens.weight')[0], source.warnings], [true, 20, []])
        source.close()
      })
    }
  })

  const spoilt: Array<[string, RegExp, Parameters<typeof withFolder>[0]]> = [
    ['a missing tensor', /^model\.layers\.1\.mlp\.up_proj\.weight is missing/, (_, tensors) => tensors.delete('model.layers.1.mlp.up_proj.weight')],
    ['a transposed tensor', /^model\.layers\.0\.mlp\.up_proj\.weight has shape \[8, 12\]; the configuration needs \[12, 8\]/, (_, tensors) => tensors.set('model.layers.0.mlp.up_proj.weight', { shape: [8, 12], values: new Float32Array(96) })],
    ['a vocabulary of another size', /^model\.embed_tokens\.weight has 19 rows; config vocab_size is 20/, (_, tensors) => tensors.set('model.embed_tokens.weight', { shape: [19, 8], values: new Float32Array(152) })],
    ['no configuration', /^config\.json is missing/, folder => { rmSync(join(folder, 'config.json')) }],
    ['a configuration that is no JSON', /^config\.json is not valid JSON/, folder => { writeFileSync(join(folder, 'config.json'), '{') }],
    ['no weights', /^no model\.safetensors and no model\.safetensors\.index\.json/, (_, tensors) => { tensors.clear() }],
    ['a pickle', /^only a pickle checkpoint \(pytorch_model\.bin\)/, (folder, tensors) => { tensors.clear(); writeFileSync(join(folder, 'pytorch_model.bin'), 'x') }],
    ['a shard outside the folder', /names shard "\.\.\/model\.safetensors"/, (folder, tensors) => { tensors.clear(); writeIndex(folder, { a: '../model.safetensors' }) }],
    ['an absent shard', /names shard b\.safetensors, which does not exist/, (folder, tensors) => { tensors.clear(); writeIndex(folder, { a: 'b.safetensors' }) }],
    ['a tensor that its shard lacks', /places "z" in b\.safetensors, which lacks it/, (folder, tensors) => {
      writeFileSync(join(folder, 'b.safetensors'), encodeSafetensors(tensors))
      tensors.clear()
      writeIndex(folder, { z: 'b.safetensors' })
    }]
  ]
  for (const [what, message, change] of spoilt) {
    test(`refuses ${what}`, () => {
      withFolder(change, folder => {
        assert.throws(() => openHfLlama(folder), (error: unknown) => error instanceof MalformedModelError && message.test(error.message))
      })
    })
  }

  const variant = fixturesFolder('variants', 'llama_gqa_bf16_sharded', 'model')
  test('reads bfloat16 shards', { skip: variant === null && 'no reference numbers (PERMAFROST_FIXTURES)' }, () => {
    const source = openHfLlama(variant!)
    const { config } = source
    for (const { name, shape } of llamaTensors(config)) {
      const values = source.read(name)
      assert.equal(values.length, shape.reduce((a, b) => a * b), name)
      // The lower half of a widened bfloat16 is zero.
      assert.ok(new Uint32Array(values.buffer).every(word => (word & 0xffff) === 0), name)
    }
    assert.equal(source.files.length, 2)
    source.close()
  })

  test('a folder of another family is refused by name', { skip: variant === null && 'no reference numbers (PERMAFROST_FIXTURES)' }, () => {
    const folder = mkdtempSync(join(tmpdir(), 'permafrost-hf-'))
    try {
      cpSync(fixturesFolder('gpt2', 'model')!, folder, { recursive: true })
      assert.equal(JSON.parse(readFileSync(join(folder, 'config.json'), 'utf8')).model_type, 'gpt2')
      assert.throws(() => openHfLlama(folder), /model_type "gpt2" is not supported/)
    } finally {
      rmSync(folder, { recursive: true })
    }
  })
})

function writeIndex (folder: string, weightMap: object): void {
  writeFileSync(join(folder, 'model.safetensors.index.json'), JSON.stringify({ weight_map: weightMap }))
}
