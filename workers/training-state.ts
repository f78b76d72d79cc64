/** Everything a run carries from one step to the next. The order of rows is a function of seed and step, so it is not here. */
import type { Recipe } from '../src/training/job.js'
import { type DivergenceState, INITIAL_DIVERGENCE } from './divergence.js'
import { adafactor } from './optimizers/adafactor.js'
import { adamW } from './optimizers/adamw.js'
import type { Optimizer, OptimizerState } from './optimizers/optimizer.js'
import type { Parameter } from './parameter.js'
import type { Metrics } from './training-model.js'

export interface Best { readonly step: number, readonly metrics: Metrics, readonly values: readonly Float32Array[] }

export interface TrainingState {
  /** Optimizer steps made. */
  step: number
  readonly parameters: readonly Parameter[]
  /** One for each parameter, in order. */
  readonly optimizers: readonly Optimizer[]
  /** Step of the last evaluation; -1: none yet. */
  evaluatedStep: number
  best: Best | null
  evaluationsWithoutGain: number
  divergence: DivergenceState
}

export function initialState (parameters: readonly Parameter[], recipe: Recipe): TrainingState {
  return {
    step: 0,
    parameters,
    optimizers: parameters.map(parameter => createOptimizer(recipe, parameter, null)),
    evaluatedStep: -1,
    best: null,
    evaluationsWithoutGain: 0,
    divergence: INITIAL_DIVERGENCE
  }
}

export function createOptimizer (recipe: Pick<Recipe, 'optimizer' | 'weight_decay'>, { dims: [rows, columns] }: Parameter, saved: OptimizerState | null): Optimizer {
  const { optimizer, weight_decay: weightDecay } = recipe
  switch (optimizer) {
    case 'adamw': return adamW(rows * columns, { weightDecay }, saved)
    // As the prompt-tuning paper's repository: neither factored nor scaled by the parameter.
    case 'adafactor': return adafactor(rows, columns, { weightDecay, factored: false }, saved)
  }
}
