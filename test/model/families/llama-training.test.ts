import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import type { InferenceSession } from 'onnxruntime-node'
import { batchPlan, countLabels } from '../../../src/model/batch-plan.js'
import { trainingGraph } from '../../../src/model/families/llama-training.js'
import type { LlamaConfig } from '../../../src/model/llama-config.js'
import { relativeL2, seededNumbers } from '../../support/numbers.js'
import { evaluate, float32, openSession, runSession } from '../../support/ort.js'
import { fixturesFolder, sharedFolder } from '../../support/shared.js'
import { float32Copy, readTensors, tinyLlama } from '../../support/tiny-llama.js'

interface Batch { input_ids: number[][], attention_mask: number[][], labels: number[][] }
interface Case { trainable: Record<string, number[]>, loss_batch0: number, noise: { grads: Record<string, number> } }

const json = <T>(...path: string[]): T => JSON.parse(readFileSync(join(...path), 'utf8')) as T

/** Rows without their padding, which is on the right. */
const examplesOf = (batch: Batch) => batch.input_ids.map((ids, b) => {
  const length = batch.attention_mask[b]!.filter(Boolean).length
  return { ids: ids.slice(0, length), labels: batch.labels[b]!.slice(0, length) }
})

for (const model of ['llama', 'variants/llama_gqa_bf16_sharded']) {
  for (const name of ['prompt_random', 'prompt_text', 'prefix']) {
    const folder = fixturesFolder(model, 'peft', name)
    test(`${model} ${name}: loss and gradient as PEFT`, { skip: folder === null && `no ${model}/peft/${name} in the fixtures` }, async () => {
      const base = float32Copy(fixturesFolder(model, 'model')!)
      try {
        const reference = json<Case>(folder!, 'case.json')
        const { batches: [batch] } = json<{ batches: Batch[] }>(fixturesFolder(model, 'batches.json')!)
        const shape = reference.trainable['embedding.weight']!
        const placement = { method: name === 'prefix' ? 'prefix-tuning' : 'prompt-tuning', numVirtualTokens: shape[0]! } as const
        const plan = batchPlan({ ...placement, config: base.config, objective: 'tokens', examples: examplesOf(batch!) })
        const bytes = trainingGraph({ ...placement, ...base, objective: 'tokens', gradients: true })
        const prompt = readTensors(join(folder!, 'init_params.safetensors')).get('embedding.weight')!
        const { loss, prompt_gradient: gradient } = await evaluate(bytes, base.folder, { ...plan.feeds, prompt: float32(prompt, ...shape) })
        assert.ok(Math.abs(loss![0]! - reference.loss_batch0) <= 1e-5, `loss ${loss![0]}, recorded ${reference.loss_batch0}`)
        const recorded = readTensors(join(folder!, 'grads.safetensors')).get('embedding.weight')!
        const limit = Math.max(1e-5, 3 * (reference.noise.grads['embedding.weight'] ?? 0))
        const error = relativeL2(gradient!, recorded)
        assert.ok(error <= limit, `gradient differs by ${error} (relative L2), limit ${limit}`)
      } finally {
        base.dispose()
      }
    })
  }
}

test('stories260K: gradient of a soft prompt in front of a text', { skip: sharedFolder('models', 'stories260K') === null && 'no models/stories260K' }, async () => {
  const folder = sharedFolder('models', 'stories260K')!
  const { soft_prompt: reference } = json<{ soft_prompt: { context_ids: number[], target_ids: number[], loss_float64: number } }>(folder, 'reference.json')
  const recorded = readTensors(join(folder, 'reference.safetensors'))
  const base = float32Copy(folder)
  try {
    const { context_ids: context, target_ids: target } = reference
    const placement = { method: 'prompt-tuning', numVirtualTokens: 5 } as const
    const plan = batchPlan({ ...placement, config: base.config, objective: 'tokens', examples: [{ ids: [...context, ...target], labels: [...context.map(() => -100), ...target] }] })
    const bytes = trainingGraph({ ...placement, ...base, objective: 'tokens', gradients: true })
    const { loss, prompt_gradient: gradient } = await evaluate(bytes, base.folder, { ...plan.feeds, prompt: float32(recorded.get('soft_prompt.rows')!, 5, base.config.hiddenSize) })
    assert.ok(Math.abs(loss![0]! - reference.loss_float64) <= 1e-5, `loss ${loss![0]}, recorded ${reference.loss_float64}`)
    const error = relativeL2(gradient!, recorded.get('soft_prompt.grad')!)
    assert.ok(error <= 1e-5, `gradient differs by ${error} (relative L2)`)
  } finally {
    base.dispose()
  }
})

const dot = (a: Float32Array, b: Float32Array): number => a.reduce((all, value, k) => all + value * b[k]!, 0)

const PLACEMENTS = [{ method: 'prompt-tuning', numVirtualTokens: 3 }, { method: 'prefix-tuning', numVirtualTokens: 3 }] as const

for (const placement of PLACEMENTS) {
  const shapeOfPrompt = ({ hiddenSize, numLayers, numKvHeads, headSize }: LlamaConfig): [number, number] =>
    [placement.numVirtualTokens, placement.method === 'prompt-tuning' ? hiddenSize : numLayers * 2 * numKvHeads * headSize]

  test(`${placement.method}, labels: gradients of prompt and label matrix as central differences`, async () => {
    const base = tinyLlama({ headSize: 12 })
    const random = seededNumbers(9)
    const numbers = (count: number): Float32Array => Float32Array.from({ length: count }, random)
    try {
      const { config } = base
      const shape = shapeOfPrompt(config)
      const prompt = numbers(shape[0] * shape[1])
      const labelMatrix = numbers(4 * config.hiddenSize)
      const examples = [{ ids: [5, 6, 7, 8], label: 3 }, { ids: [9], label: 0 }, { ids: [10, 11], label: 3 }]
      const { feeds } = batchPlan({ ...placement, config, objective: 'labels', numLabels: 4, examples })
      const run = async (session: InferenceSession, p: Float32Array, m: Float32Array) => runSession(session, { ...feeds, prompt: float32(p, ...shape), label_matrix: float32(m, 4, config.hiddenSize) })
      const session = await openSession(trainingGraph({ ...placement, ...base, objective: 'labels', gradients: true }), base.folder)
      const forward = await openSession(trainingGraph({ ...placement, ...base, objective: 'labels', gradients: false }), base.folder)
      const exact = await run(session, prompt, labelMatrix)
      assert.equal(exact['label_logits']!.length, 3 * 4)
      assert.deepEqual((await run(forward, prompt, labelMatrix))['label_logits'], exact['label_logits'])
      // Along random directions: one difference covers all entries.
      const h = 2 ** -8
      for (let i = 0; i < 4; i++) {
        const [dp, dm] = [numbers(prompt.length), numbers(labelMatrix.length).map(value => i % 2 === 0 ? 0 : value)]
        const loss = async (step: number): Promise<number> => (await run(forward, prompt.map((value, k) => value + step * dp[k]!), labelMatrix.map((value, k) => value + step * dm[k]!)))['loss']![0]!
        const expected = (await loss(h) - await loss(-h)) / (2 * h)
        const got = dot(exact['prompt_gradient']!, dp) + dot(exact['label_gradient']!, dm)
        assert.ok(Math.abs(got - expected) <= 5e-3 * Math.abs(expected) + 1e-3, `direction ${i}: central difference ${expected}, got ${got}`)
      }
      await session.release()
      await forward.release()
    } finally {
      base.dispose()
    }
  })

  test(`${placement.method}, tokens: micro-batches with the step's number of labels add up to the step`, async () => {
    const base = tinyLlama()
    const random = seededNumbers(10)
    const { config } = base
    const shape = shapeOfPrompt(config)
    const prompt = float32(Float32Array.from({ length: shape[0] * shape[1] }, random), ...shape)
    const examples = [[5, 6, 7, 8, 9], [10, 11], [12, 13, 14]].map((ids, b) => ({ ids, labels: ids.map((id, s) => b === 2 || s > 0 ? id : -100) }))
    const totalLabels = countLabels(placement.method, examples)
    assert.equal(totalLabels, placement.method === 'prompt-tuning' ? 8 : 7)
    const session = await openSession(trainingGraph({ ...placement, ...base, objective: 'tokens', gradients: true, lossChunk: 4 }), base.folder)
    try {
      const step = async (some: typeof examples): Promise<Record<string, Float32Array>> =>
        runSession(session, { prompt, ...batchPlan({ ...placement, config, objective: 'tokens', examples: some, totalLabels, lossChunk: 4 }).feeds })
      const whole = await step(examples)
      const parts = [await step(examples.slice(0, 1)), await step(examples.slice(1))]
      assert.ok(Math.abs(parts[0]!['loss']![0]! + parts[1]!['loss']![0]! - whole['loss']![0]!) <= 1e-5)
      const sum = parts[0]!['prompt_gradient']!.map((value, i) => value + parts[1]!['prompt_gradient']![i]!)
      assert.ok(relativeL2(sum, whole['prompt_gradient']!) <= 1e-5)
    } finally {
      await session.release()
      base.dispose()
    }
  })
}
