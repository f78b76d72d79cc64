/**
 * The training loop: which step, which rate, when to evaluate, what to keep, when to stop. It knows neither ONNX
 * Runtime nor Redis; the same seed and the same model give the same run, interrupted or not.
 */
import { ServiceError } from '../src/errors.js'
import type { TaskKind } from '../src/prompt/task-spec.js'
import type { JobProgressEvent, Recipe } from '../src/training/job.js'
import { batchOrder, microBatches } from './batches.js'
import { watchDivergence } from './divergence.js'
import type { Example } from './example.js'
import { clipFactor, globalNorm, scaleAll } from './optimizers/clipping.js'
import { scheduledRate } from './optimizers/schedules.js'
import { Progress } from './progress.js'
import { createRandom } from './random.js'
import { dropTokens } from './token-dropout.js'
import type { Metrics, TrainingModel } from './training-model.js'
import type { Best, TrainingState } from './training-state.js'

export interface LoopOptions {
  readonly kind: TaskKind
  readonly recipe: Recipe
  readonly examples: readonly Example[]
  readonly model: TrainingModel
  /** Initial or restored; changed in place. */
  readonly state: TrainingState
  /** Called between two steps, with a state that continues to the same end. */
  readonly checkpoint: (state: TrainingState) => Promise<void>
  readonly checkpointEveryMs: number
  readonly emit: (event: JobProgressEvent) => void
  /** Milliseconds, monotonic. */
  readonly now: () => number
  /** The loop rejects with its reason; the state then stands at the last whole step. */
  readonly signal: AbortSignal
}

/** Not one of the streams that split and order the rows. */
const DROPOUT_STREAM = 3

/** Run to the end and answer the best evaluation. @throws ServiceError `not_finite` when training diverges */
export async function trainingLoop (options: LoopOptions): Promise<Best> {
  const { recipe, state, examples } = options
  const steps = recipe.max_steps
  const batchOf = batchOrder(examples.map(example => example.ids.length), recipe.batch_size, recipe.seed)
  const progress = new Progress(steps, options.now)
  let savedAt = options.now()
  const save = async (): Promise<void> => {
    await options.checkpoint(state)
    options.emit({ type: 'checkpoint', step: state.step })
    savedAt = options.now()
  }
  while (true) {
    if (evaluationIsDue(state, recipe)) {
      await evaluate(options)
      await save() // an evaluation may cost more than the steps between two checkpoints
      progress.restart()
    }
    if (state.step >= steps || isOutOfPatience(state, recipe)) break
    const event = progress.add(await trainingStep(options, batchOf(state.step).map(row => examples[row]!)))
    if (event !== null) options.emit(event)
    if (options.now() - savedAt >= options.checkpointEveryMs) await save()
  }
  if (state.best === null) throw new Error('internal: a run ends with an evaluation')
  return state.best
}

async function trainingStep ({ recipe, state, model, signal }: LoopOptions, batch: readonly Example[]): Promise<Parameters<Progress['add']>[0]> {
  let loss = 0
  let gradients: Float32Array[] | null = null
  const values = state.parameters.map(parameter => parameter.values)
  const random = createRandom(recipe.seed, DROPOUT_STREAM, state.step)
  const seen = batch.map(example => dropTokens(example, recipe.token_dropout, random))
  for (const part of microBatches(seen, recipe.micro_batch_tokens)) {
    const result = await model.lossAndGradients(values, part, signal)
    loss += result.loss
    gradients = gradients === null ? result.gradients.map(gradient => gradient.slice()) : addAll(gradients, result.gradients)
  }
  if (gradients === null) throw new Error('internal: a batch without rows')
  const gradientNorm = globalNorm(gradients)
  const { state: divergence, reason } = watchDivergence(state.divergence, state.step, loss, gradientNorm)
  if (reason !== null) throw diverged(recipe, reason)

  scaleAll(gradients, clipFactor(gradientNorm, recipe.max_grad_norm))
  const learningRate = rateAt(recipe, recipe.learning_rate, state.step)
  state.parameters.forEach((parameter, i) => {
    const rate = parameter.name === 'prompt' ? learningRate : rateAt(recipe, recipe.label_learning_rate, state.step)
    state.optimizers[i]!.update(parameter.values, gradients[i]!, rate)
  })
  state.divergence = divergence
  state.step++
  return { step: state.step, loss, learningRate, gradientNorm, tokens: seen.reduce((sum, example) => sum + example.ids.length, 0) }
}

function diverged (recipe: Recipe, reason: string): ServiceError {
  return new ServiceError('not_finite', `training diverged: ${reason}; a lower learning_rate than ${recipe.learning_rate} or a longer warm-up may help`, { param: 'recipe/learning_rate' })
}

function rateAt (recipe: Recipe, learningRate: number, step: number): number {
  const steps = recipe.max_steps
  return scheduledRate({ schedule: recipe.schedule, learningRate, steps, warmupSteps: Math.round(recipe.warmup_ratio * steps) }, step)
}

function addAll (sums: Float32Array[], terms: readonly Float32Array[]): Float32Array[] {
  sums.forEach((sum, k) => {
    const term = terms[k]!
    for (let i = 0; i < sum.length; i++) sum[i]! += term[i]!
  })
  return sums
}

/** Evaluations are spread evenly and the last falls on the last step. */
function evaluationIsDue (state: TrainingState, { evaluations, max_steps: steps }: Recipe): boolean {
  if (state.step === 0 || state.evaluatedStep >= state.step) return false
  const count = Math.min(evaluations, steps)
  const index = Math.round(state.step * count / steps)
  return state.step === Math.round(index * steps / count)
}

async function evaluate ({ kind, recipe, model, state, signal, emit }: LoopOptions): Promise<void> {
  const metrics = await model.evaluate(state.parameters.map(parameter => parameter.values), signal)
  if (!Number.isFinite(metrics['loss'])) throw diverged(recipe, `the validation loss became ${metrics['loss']} at step ${state.step}`)
  const best = state.best === null || isBetter(kind, metrics, state.best.metrics)
  if (best) {
    state.best = { step: state.step, metrics, values: state.parameters.map(parameter => parameter.values.slice()) }
    state.evaluationsWithoutGain = 0
  } else {
    state.evaluationsWithoutGain++
  }
  state.evaluatedStep = state.step
  emit({ type: 'evaluation', step: state.step, metrics, best })
}

/** Classification by accuracy, ties by loss; generation by loss. */
function isBetter (kind: TaskKind, candidate: Metrics, best: Metrics): boolean {
  if (kind === 'generation' || candidate['accuracy'] === best['accuracy']) return candidate['loss']! < best['loss']!
  return candidate['accuracy']! > best['accuracy']!
}

function isOutOfPatience (state: TrainingState, { patience }: Recipe): boolean {
  return patience > 0 && state.evaluationsWithoutGain >= patience
}
