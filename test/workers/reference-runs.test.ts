/** Whole runs against PEFT, torch and transformers: losses, rates, norms and parameters step by step, through the real graphs. */
import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { suite, test } from 'node:test'
import { countLabels } from '../../src/model/batch-plan.js'
import { BaseWeights } from '../../workers/base-weights.js'
import type { MicroBatch } from '../../workers/batches.js'
import type { Example } from '../../workers/example.js'
import { adafactor } from '../../workers/optimizers/adafactor.js'
import { adamW } from '../../workers/optimizers/adamw.js'
import { clipFactor, globalNorm, scaleAll } from '../../workers/optimizers/clipping.js'
import type { Optimizer } from '../../workers/optimizers/optimizer.js'
import { relativeStepRate, scheduledRate } from '../../workers/optimizers/schedules.js'
import { OnnxTrainingModel } from '../../workers/session.js'
import { maxDifference, relativeL2 } from '../support/numbers.js'
import { fixturesFolder } from '../support/shared.js'
import { float32Copy, readTensors } from '../support/tiny-llama.js'

interface Batch { input_ids: number[][], attention_mask: number[][], labels: number[][] }
interface OptimizerCase {
  name: string, steps: number, lr: number | null, weight_decay: number
  betas?: [number, number], eps?: number | [number, number]
  scale_parameter?: boolean, relative_step?: boolean, clip_threshold?: number, decay_rate?: number, factored?: boolean
  warmup_steps?: number, max_grad_norm?: number, micro_batch_rows?: number[][]
}
interface Case {
  trainable: Record<string, [number, number]>
  optimizer: OptimizerCase
  files: { init_params: string, final_params: string, params_by_step?: string, grads?: string }
  loss_curve: number[], losses_after: number[], curve_max_diff_float64: number
  noise: { final_params: Record<string, number>, params_by_step?: Record<string, Record<string, number>>, grads_relative_l2?: Record<string, number> }
  tolerance_final_params?: Record<string, number>, tolerance_curve?: number
  learning_rates?: number[], grad_norms?: number[], clip_factors?: number[]
}

const NAME = 'embedding.weight'
const STEPS_WITH_PARAMETERS = [1, 2, 5, 10]
const json = <T>(...path: string[]): T => JSON.parse(readFileSync(join(...path), 'utf8')) as T

/** Labels stand at the end of a row without gaps, which is what a target start says. */
function exampleOf (batch: Batch, row: number): Example {
  const length = batch.attention_mask[row]!.filter(Boolean).length
  const first = batch.labels[row]!.findIndex(label => label >= 0)
  return { ids: batch.input_ids[row]!.slice(0, length), targetStart: first, label: null }
}

function createOptimizer (spec: OptimizerCase, rows: number, columns: number): Optimizer {
  if (spec.name === 'AdamW') {
    const [beta1, beta2] = spec.betas!
    return adamW(rows * columns, { weightDecay: spec.weight_decay, beta1, beta2, epsilon: spec.eps as number })
  }
  const [epsilonGradient, epsilonScale] = spec.eps as [number, number]
  return adafactor(rows, columns, {
    weightDecay: spec.weight_decay, factored: spec.factored!, scaleByParameter: spec.scale_parameter!,
    decayExponent: -spec.decay_rate!, clipThreshold: spec.clip_threshold!, epsilonGradient, epsilonScale
  })
}

function rateOf (spec: OptimizerCase, step: number): number {
  if (spec.relative_step === true) return relativeStepRate(step + 1)
  const learningRate = spec.lr!
  if (spec.warmup_steps === undefined) return learningRate
  return scheduledRate({ schedule: 'cosine', learningRate, warmupSteps: spec.warmup_steps, steps: spec.steps }, step)
}

const variants = fixturesFolder('variants')
const variantCases = variants === null ? [] : readdirSync(variants).filter(name => name.startsWith('llama')).flatMap(name => {
  const folder = fixturesFolder('variants', name, 'peft')
  return folder === null ? [] : readdirSync(folder).filter(method => ['prompt_random', 'prompt_text', 'prefix'].includes(method)).map(method => ({ model: `variants/${name}`, folder: `peft/${method}` }))
})

const CASES = [
  ...['prompt_random', 'prompt_text', 'prefix'].map(name => ({ model: 'llama', folder: `peft/${name}` })),
  ...variantCases,
  ...['prompt_adafactor', 'prefix_adafactor', 'prompt_adafactor_paper', 'prompt_adafactor_relative', 'prompt_adamw_schedule', 'prefix_adamw_schedule'].map(name => ({ model: 'llama', folder: `optim/${name}` }))
]

suite('training as PEFT, torch and transformers', () => {
  for (const { model, folder: caseFolder } of CASES) {
    const folder = fixturesFolder(model, caseFolder)
    test(`${model}/${caseFolder}`, { skip: folder === null && `no ${model}/${caseFolder} in the fixtures` }, async () => {
      await compare(fixturesFolder(model)!, folder!)
    })
  }
})

async function compare (modelFolder: string, folder: string): Promise<void> {
  const reference = json<Case>(folder, 'case.json')
  const spec = reference.optimizer
  const { batches } = json<{ batches: Batch[] }>(modelFolder, 'batches.json')
  const [rows, columns] = reference.trainable[NAME]!
  const method = caseMethod(folder)
  const base = float32Copy(join(modelFolder, 'model'))
  const weights = new BaseWeights(base.folder)
  const longest = Math.max(...batches.flatMap(batch => batch.input_ids.map(ids => ids.length)))
  const model = await OnnxTrainingModel.open({ method, numVirtualTokens: rows, config: base.config, weights, labelMatrix: null, validation: [], longest, microBatchTokens: 1, threads: 1 })
  try {
    const values = readTensors(join(folder, reference.files.init_params)).get(NAME)!
    const optimizer = createOptimizer(spec, rows, columns)
    const recorded = reference.files.params_by_step === undefined ? null : readTensors(join(folder, reference.files.params_by_step))
    const curveTolerance = reference.tolerance_curve ?? Math.max(1e-3, 3 * reference.curve_max_diff_float64)
    const parameterTolerance = reference.tolerance_final_params?.[NAME] ?? Math.max(1e-3, 3 * reference.noise.final_params[NAME]!)

    for (let step = 0; step < spec.steps; step++) {
      const parts = microBatchesOf(method, batches[step % batches.length]!, spec.micro_batch_rows)
      const { loss, gradients } = await lossOf(model, values, parts)
      close(loss, reference.loss_curve[step]!, curveTolerance, `loss of step ${step}`)
      if (step === 0 && reference.files.grads !== undefined && spec.micro_batch_rows !== undefined) {
        const error = relativeL2(gradients, readTensors(join(folder, reference.files.grads)).get(NAME)!)
        assert.ok(error <= Math.max(1e-5, 3 * (reference.noise.grads_relative_l2?.[NAME] ?? 0)), `gradient of step 0 differs by ${error}`)
      }
      if (spec.max_grad_norm !== undefined) {
        const norm = globalNorm([gradients])
        close(norm, reference.grad_norms![step]!, 1e-4, `gradient norm of step ${step}`)
        close(clipFactor(norm, spec.max_grad_norm), reference.clip_factors![step]!, 1e-4, `clip factor of step ${step}`)
        scaleAll([gradients], clipFactor(norm, spec.max_grad_norm))
        close(rateOf(spec, step), reference.learning_rates![step]!, 1e-9, `rate of step ${step}`)
      }
      optimizer.update(values, gradients, rateOf(spec, step))
      if (recorded !== null && STEPS_WITH_PARAMETERS.includes(step + 1)) {
        const difference = maxDifference(values, recorded.get(`after_${step + 1}.${NAME}`)!)
        assert.ok(difference <= parameterTolerance, `parameters after step ${step + 1} differ by ${difference}`)
      }
    }
    const difference = maxDifference(values, readTensors(join(folder, reference.files.final_params)).get(NAME)!)
    assert.ok(difference <= parameterTolerance, `final parameters differ by ${difference}, tolerance ${parameterTolerance}`)
    for (const [i, batch] of batches.entries()) {
      const { loss } = await lossOf(model, values, microBatchesOf(method, batch))
      close(loss, reference.losses_after[i]!, curveTolerance, `loss of batch ${i} afterwards`)
    }
  } finally {
    await model.close()
    weights.close()
    base.dispose()
  }
}

function caseMethod (folder: string): 'prefix-tuning' | 'prompt-tuning' {
  return /\/prefix[^/]*$/.test(folder) ? 'prefix-tuning' : 'prompt-tuning'
}

function microBatchesOf (method: 'prefix-tuning' | 'prompt-tuning', batch: Batch, rows: number[][] = [[...batch.input_ids.keys()]]): MicroBatch[] {
  const parts = rows.map(part => part.map(row => exampleOf(batch, row)))
  const totalPredictions = countLabels(method, parts.flat().map(({ ids, targetStart }) => ({ ids, labels: ids.map((id, i) => i < targetStart ? -1 : id) })))
  return parts.map(examples => ({ examples, totalPredictions }))
}

async function lossOf (model: OnnxTrainingModel, values: Float32Array, parts: readonly MicroBatch[]): Promise<{ loss: number, gradients: Float32Array }> {
  const gradients = new Float32Array(values.length)
  let loss = 0
  for (const part of parts) {
    const result = await model.lossAndGradients([values], part, new AbortController().signal)
    loss += result.loss
    result.gradients[0]!.forEach((gradient, i) => { gradients[i]! += gradient })
  }
  return { loss, gradients }
}

function close (actual: number, expected: number, tolerance: number, what: string): void {
  assert.ok(Math.abs(actual - expected) <= tolerance, `${what}: ${actual}, recorded ${expected}, tolerance ${tolerance}`)
}
