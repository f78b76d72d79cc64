/** The optimizer of a recorded run as the trainer's own. What it does not know is refused by name. */
import { adafactor } from '../../workers/optimizers/adafactor.js'
import { adamW } from '../../workers/optimizers/adamw.js'
import type { Optimizer } from '../../workers/optimizers/optimizer.js'
import { relativeStepRate, scheduledRate } from '../../workers/optimizers/schedules.js'

export interface RecordedOptimizer {
  readonly name: string
  readonly steps: number
  /** Null with a relative step. */
  readonly lr: number | null
  readonly weight_decay: number
  readonly eps: number | [gradient: number, scale: number]
  readonly betas?: [number, number]
  readonly beta1?: number | null
  readonly scale_parameter?: boolean
  readonly relative_step?: boolean
  readonly warmup_init?: boolean
  readonly clip_threshold?: number
  readonly decay_rate?: number
  readonly factored?: boolean
  readonly schedule?: string
  readonly warmup_steps?: number
  readonly total_steps?: number
  readonly max_grad_norm?: number
  readonly micro_batch_rows?: number[][]
}

export function optimizerOf (spec: RecordedOptimizer, rows: number, columns: number): Optimizer {
  const { name, eps, weight_decay: weightDecay } = spec
  if (name === 'AdamW' && spec.betas !== undefined && typeof eps === 'number') {
    return adamW(rows * columns, { weightDecay, beta1: spec.betas[0], beta2: spec.betas[1], epsilon: eps })
  }
  if (!name.endsWith('Adafactor') || typeof eps === 'number') throw new Error(`the optimizer ${name} is of a kind that no check here knows`)
  if (typeof spec.beta1 === 'number') throw new Error('Adafactor with a first moment is not built')
  if (spec.warmup_init === true) throw new Error('Adafactor with warmup_init is not built')
  const [epsilonGradient, epsilonScale] = eps
  return adafactor(rows, columns, {
    weightDecay, epsilonGradient, epsilonScale, factored: spec.factored ?? true, scaleByParameter: spec.scale_parameter ?? false,
    decayExponent: -(spec.decay_rate ?? -0.8), clipThreshold: spec.clip_threshold ?? 1
  })
}

/** The rate that the trainer gives its optimizer at a step, counted from 0. */
export function usedRate (spec: RecordedOptimizer, step: number): number {
  if (spec.relative_step === true) return relativeStepRate(step + 1)
  const { lr, schedule, warmup_steps: warmupSteps = 0, total_steps: steps = spec.steps } = spec
  if (lr === null) throw new Error('a run without a learning rate')
  if (schedule === undefined) return lr
  const known = (['cosine', 'constant'] as const).find(name => schedule.includes(name))
  if (known === undefined) throw new Error(`the schedule "${schedule}" is of a kind that no check here knows`)
  return scheduledRate({ schedule: known, learningRate: lr, warmupSteps, steps }, step)
}

/** The rate as transformers reports it: multiplied by the size of the parameter where the optimizer does so. */
export function tableRate (spec: RecordedOptimizer, step: number, values: Float32Array): number {
  const rate = usedRate(spec, step)
  if (spec.scale_parameter !== true || typeof spec.eps === 'number') return rate
  const meanSquare = values.reduce((sum, value) => sum + value * value, 0) / values.length
  return rate * Math.max(spec.eps[1], Math.sqrt(meanSquare))
}
