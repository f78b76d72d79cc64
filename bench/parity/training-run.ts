/** Recorded training runs of PEFT, torch and transformers, repeated step by step with the trainer's graphs and optimizers. */
import { dirname, join } from 'node:path'
import type { TokenExample } from '../../src/model/batch-plan.js'
import type { Base } from '../../src/model/base.js'
import type { Method } from '../../src/prompt/methods.js'
import { BaseWeights } from '../../workers/base-weights.js'
import { clipFactor, globalNorm, scaleAll } from '../../workers/optimizers/clipping.js'
import { maxDifference, relativeL2 } from '../../test/support/numbers.js'
import { readJson, readTensors, sameList, tensor } from './fixture-files.js'
import { LOSS_TOLERANCE } from './forward.js'
import type { Checks } from './ledger.js'
import { examplesOf, LossModel, type PaddedBatch } from './loss.js'
import { optimizerOf, type RecordedOptimizer, tableRate, usedRate } from './recorded-optimizer.js'

interface Noise {
  readonly grads?: Readonly<Record<string, number>>
  readonly grads_relative_l2?: Readonly<Record<string, number>>
  readonly final_params: Readonly<Record<string, number>>
}

/** `case.json` of `peft/METHOD` and of `optim/CASE`. */
export interface RecordedRun {
  readonly trainable: Readonly<Record<string, [rows: number, columns: number]>>
  readonly optimizer: RecordedOptimizer
  readonly files: Readonly<{ init_params: string, final_params: string, grads?: string, params_by_step?: string, batches?: string, adapter?: string, adapter_config?: string }>
  readonly loss_batch0?: number
  readonly loss_curve: readonly number[]
  readonly losses_after: readonly number[]
  readonly curve_max_diff_float64: number
  readonly noise: Noise
  readonly tolerance_final_params?: Readonly<Record<string, number>>
  readonly tolerance_curve?: number
  readonly learning_rates?: readonly number[]
  readonly grad_norms?: readonly number[] | Readonly<Record<string, number>>
  readonly clip_factors?: readonly number[]
  readonly label_counts?: ReadonlyArray<readonly number[]>
  readonly right_padded_loss_at_init?: number
  readonly left_padded_loss_at_init?: number
}

const NAME = 'embedding.weight'
const RATE_TOLERANCE = 1e-6

/** @param folder holds `case.json`; its files are named relative to it */
export async function trainingRun (checks: Checks, folder: string, method: Method, base: Base): Promise<void> {
  const recorded = readJson<RecordedRun>(folder, 'case.json')
  if (!sameList(Object.keys(recorded.trainable), [NAME])) throw new Error(`the run trains ${Object.keys(recorded.trainable).join(', ')}; ${NAME} alone is a flat prompt`)
  const { batches } = readJson<{ batches: PaddedBatch[] }>(folder, recorded.files.batches ?? '../../batches.json')
  const rows = batches.map(examplesOf)
  const weights = new BaseWeights(base.folder)
  const longest = Math.max(...rows.flat().map(({ ids }) => ids.length))
  const model = await LossModel.open({ method, numVirtualTokens: recorded.trainable[NAME]![0] }, base.manifest.config, weights, longest)
  try {
    await new Run(checks, folder, recorded, rows, model).repeat()
  } finally {
    await model.close()
    weights.close()
  }
}

class Run {
  readonly #checks: Checks
  readonly #folder: string
  readonly #recorded: RecordedRun
  readonly #batches: ReadonlyArray<readonly TokenExample[]>
  readonly #model: LossModel
  readonly #values: Float32Array
  readonly #curveTolerance: number

  constructor (checks: Checks, folder: string, recorded: RecordedRun, batches: ReadonlyArray<readonly TokenExample[]>, model: LossModel) {
    this.#checks = checks
    this.#folder = folder
    this.#recorded = recorded
    this.#batches = batches
    this.#model = model
    this.#values = this.#read(recorded.files.init_params, NAME).slice()
    this.#curveTolerance = recorded.tolerance_curve ?? Math.max(1e-3, 3 * recorded.curve_max_diff_float64)
  }

  #read (file: string, name: string): Float32Array {
    return tensor(readTensors(this.#folder, file), name).values
  }

  async repeat (): Promise<void> {
    const { trainable, optimizer: spec, files, noise, loss_curve: curve, losses_after: after } = this.#recorded
    await this.#start()
    const [rows, columns] = trainable[NAME]!
    const optimizer = optimizerOf(spec, rows, columns)
    const byStep = files.params_by_step === undefined ? null : readTensors(this.#folder, files.params_by_step)
    const parameterTolerance = this.#recorded.tolerance_final_params?.[NAME] ?? Math.max(1e-3, 3 * (noise.final_params[NAME] ?? 0))
    for (let step = 0; step < spec.steps; step++) {
      const { loss, gradient } = await this.#step(step)
      this.#checks.within('loss curve', `step ${step}`, Math.abs(loss - curve[step]!), this.#curveTolerance)
      const table = this.#recorded.learning_rates?.[step]
      if (table !== undefined) this.#checks.within('learning rates', `step ${step}`, Math.abs(tableRate(spec, step, this.#values) - table), Math.max(RATE_TOLERANCE, this.#curveTolerance * table))
      this.#clip(step, gradient)
      optimizer.update(this.#values, gradient, usedRate(spec, step))
      const reached = byStep?.get(`after_${step + 1}.${NAME}`)
      if (reached !== undefined) this.#checks.within('parameters by step', `after ${step + 1}`, maxDifference(this.#values, reached.values), parameterTolerance)
    }
    this.#checks.within('final parameters', NAME, maxDifference(this.#values, this.#read(files.final_params, NAME)), parameterTolerance)
    for (const [i, recorded] of after.entries()) {
      this.#checks.within('losses afterwards', `batch ${i}`, Math.abs(await this.#model.loss(this.#values, this.#batches[i]!) - recorded), this.#curveTolerance)
    }
  }

  /** Loss and gradient at the initial parameters. */
  async #start (): Promise<void> {
    const { loss_batch0: first, right_padded_loss_at_init: right, left_padded_loss_at_init: left, files, noise } = this.#recorded
    const { loss, gradient } = await this.#step(0)
    this.#checks.within('initial loss', 'batch 0', Math.abs(loss - (first ?? this.#recorded.loss_curve[0]!)), LOSS_TOLERANCE)
    if (files.grads !== undefined) {
      const limit = Math.max(1e-5, 3 * (noise.grads_relative_l2?.[NAME] ?? noise.grads?.[NAME] ?? 0))
      this.#checks.within('gradient, relative L2', NAME, relativeL2(gradient, this.#read(files.grads, NAME)), limit)
    }
    if (right !== undefined) {
      // The batch whose rows were also padded on the left.
      this.#checks.within('initial loss', 'batch 2', Math.abs(await this.#model.loss(this.#values, this.#batches[2]!) - right), LOSS_TOLERANCE)
    }
    if (left !== undefined) this.#checks.notApplicable('loss of a batch padded on the left', 1, 'PEFT counts padding between prompt and text as positions; here rows have no padding')
  }

  /** Micro-batches add up to the step. */
  async #step (step: number): Promise<{ loss: number, gradient: Float32Array }> {
    const batch = this.#batches[step % this.#batches.length]!
    const parts = (this.#recorded.optimizer.micro_batch_rows ?? [[...batch.keys()]]).map(rows => rows.map(row => batch[row]!))
    const total = this.#model.labels(parts.flat())
    const counts = this.#recorded.label_counts?.[step]
    if (counts !== undefined) this.#checks.equal('labels of micro-batches', `step ${step}`, sameList(parts.map(part => this.#model.labels(part)), counts))
    const gradient = new Float32Array(this.#values.length)
    let loss = 0
    for (const part of parts) {
      const result = await this.#model.lossAndGradient(this.#values, part, total)
      loss += result.loss
      result.gradient.forEach((value, i) => { gradient[i]! += value })
    }
    return { loss, gradient }
  }

  #clip (step: number, gradient: Float32Array): void {
    const { optimizer: { max_grad_norm: limit }, grad_norms: norms, clip_factors: factors } = this.#recorded
    if (limit === undefined) return
    const norm = globalNorm([gradient])
    const factor = clipFactor(norm, limit)
    if (Array.isArray(norms)) this.#checks.within('gradient norms, relative', `step ${step}`, Math.abs(norm - norms[step]) / norms[step], this.#curveTolerance)
    if (factors !== undefined) this.#checks.within('clip factors', `step ${step}`, Math.abs(factor - factors[step]!), this.#curveTolerance)
    scaleAll([gradient], factor)
  }
}

/** `optim/CASE`: the method is that of the adapter it starts from. */
export function runFolder (folder: string, files: RecordedRun['files']): string {
  return dirname(join(folder, files.adapter_config ?? 'adapter/adapter_config.json'))
}
