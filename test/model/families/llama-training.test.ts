import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { suite, test } from 'node:test'
import { batchPlan } from '../../../src/model/batch-plan.js'
import { trainingGraph } from '../../../src/model/families/llama-training.js'
import { maxDifference, relativeL2 } from '../../support/numbers.js'
import { evaluate, float32 } from '../../support/ort.js'
import { fixturesFolder, sharedFolder } from '../../support/shared.js'
import { float32Copy, readTensors } from '../../support/tiny-llama.js'

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
