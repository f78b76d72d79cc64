import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, suite, test } from 'node:test'
import { tokenizerFromJson } from '../../src/model/bpe-tokenizer.js'
import { validateTokenizerJson } from '../../src/model/tokenizer-json.js'
import type { TaskSpec } from '../../src/prompt/task-spec.js'
import type { Init } from '../../src/training/job.js'
import { BaseWeights } from '../../workers/base-weights.js'
import { initialLabelVectors, initialPrompt, labelTokenRows } from '../../workers/initialise.js'
import { OnnxTrainingModel } from '../../workers/session.js'
import { maxDifference } from '../support/numbers.js'
import { fixturesFolder } from '../support/shared.js'
import { float32Copy, type PlainBase, readTensors, tinyLlama } from '../support/tiny-llama.js'
import { testTokenizer } from '../support/tokenizer.js'

const P = 7
const tokenizer = testTokenizer()
const signal = new AbortController().signal
const labels = [{ name: 'a', tokenId: 5, piece: 'a', tokenIds: [5, 9, 11] }, { name: 'b', tokenId: 6, piece: 'b', tokenIds: [6] }]
const spec: TaskSpec = { kind: 'classification', template: '{input}', verbalizer: { type: 'vectors', labels } }

suite('initial prompts', () => {
  let base: PlainBase
  let weights: BaseWeights
  before(() => {
    base = tinyLlama()
    weights = new BaseWeights(base.folder)
  })
  after(() => {
    weights.close()
    base.dispose()
  })

  const prompt = async (type: 'prompt-tuning' | 'prefix-tuning', init: Init, seed = 1): Promise<Float32Array> =>
    await initialPrompt({ method: { type, num_virtual_tokens: P, init }, spec, config: base.config, weights, tokenizer, seed, threads: 1, signal })

  const lossBehind = async (type: 'prompt-tuning' | 'prefix-tuning', values: Float32Array): Promise<number> => {
    const example = { ids: [20, 30, 40, 50], targetStart: 1, label: null }
    const model = await OnnxTrainingModel.open({ method: type, numVirtualTokens: P, config: base.config, weights, labelMatrix: null, validation: [example], longest: 4, microBatchTokens: 64, threads: 1 })
    try {
      return (await model.evaluate([values], signal))['loss']!
    } finally {
      await model.close()
    }
  }

  for (const init of [{ type: 'text', text: 'the basket' }, { type: 'vocabulary' }, { type: 'text' }] as const) {
    test(`${JSON.stringify(init)}: keys and values of a prefix do what the same tokens as embeddings do`, async () => {
      const asEmbeddings = await lossBehind('prompt-tuning', await prompt('prompt-tuning', init))
      const asPrefix = await lossBehind('prefix-tuning', await prompt('prefix-tuning', init))
      assert.ok(Math.abs(asEmbeddings - asPrefix) < 1e-5, `${asEmbeddings} against ${asPrefix}`)
    })
  }

  test('a text is repeated to the number of virtual tokens', async () => {
    const ids = tokenizer.encode('the basket')
    const rows = readTensors(join(base.folder, 'model.safetensors')).get('model.embed_tokens.weight')!
    const expected = Array.from({ length: P }, (_, i) => [...rows.subarray(ids[i % ids.length]! * 64, ids[i % ids.length]! * 64 + 64)]).flat()
    assert.deepEqual([...await prompt('prompt-tuning', { type: 'text', text: 'the basket' })], expected)
  })

  test('random numbers depend on the seed alone and stay in their range', async () => {
    for (const type of ['prompt-tuning', 'prefix-tuning'] as const) {
      const values = await prompt(type, { type: 'random' })
      assert.deepEqual(values, await prompt(type, { type: 'random' }))
      assert.notDeepEqual(values, await prompt(type, { type: 'random' }, 2))
      const largest = values.reduce((most, value) => Math.max(most, Math.abs(value)), 0)
      assert.ok(type === 'prompt-tuning' ? largest <= 0.5 && largest > 0.4 : largest < 0.12 && largest > 0.04, `${type}: ${largest}`)
    }
  })

  test('label vectors are means of head rows, label tokens are head rows', () => {
    const head = readTensors(join(base.folder, 'model.safetensors')).get('lm_head.weight')!
    const mean = Array.from({ length: 64 }, (_, i) => (head[5 * 64 + i]! + head[9 * 64 + i]! + head[11 * 64 + i]!) / 3)
    const vectors = initialLabelVectors(labels, base.config, weights)
    assert.ok(maxDifference(vectors.subarray(0, 64), mean) < 1e-6)
    assert.deepEqual(vectors.subarray(64), head.slice(6 * 64, 7 * 64))
    assert.deepEqual(labelTokenRows(labels, base.config, weights), Float32Array.from([...head.subarray(5 * 64, 6 * 64), ...head.subarray(6 * 64, 7 * 64)]))
  })

  const reference = fixturesFolder('llama', 'peft', 'prompt_text')
  test('text initialisation is PEFT\'s', { skip: reference === null && 'no llama/peft/prompt_text in the fixtures' }, async () => {
    const modelFolder = fixturesFolder('llama', 'model')!
    const model = float32Copy(modelFolder)
    const file = new BaseWeights(model.folder)
    try {
      const config = JSON.parse(readFileSync(join(reference!, 'adapter', 'adapter_config.json'), 'utf8')) as { num_virtual_tokens: number, prompt_tuning_init_text: string }
      const own = tokenizerFromJson(validateTokenizerJson(readFileSync(join(modelFolder, 'tokenizer.json'))))
      const values = await initialPrompt({
        method: { type: 'prompt-tuning', num_virtual_tokens: config.num_virtual_tokens, init: { type: 'text', text: config.prompt_tuning_init_text } },
        spec, config: model.config, weights: file, tokenizer: own, seed: 0, threads: 1, signal
      })
      assert.deepEqual(values, readTensors(join(reference!, 'init_params.safetensors')).get('embedding.weight')!)
    } finally {
      file.close()
      model.dispose()
    }
  })
})
