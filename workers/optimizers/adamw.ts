import { type Optimizer, restoreMoment, type OptimizerState } from './optimizer.js'

export interface AdamWOptions { readonly weightDecay: number, readonly beta1?: number, readonly beta2?: number, readonly epsilon?: number }

/**
 * AdamW as `torch.optim.AdamW` (Loshchilov & Hutter 2019, algorithm 2): decoupled decay at the scheduled rate, bias
 * correction of both moments, epsilon outside the root.
 */
export function adamW (length: number, options: AdamWOptions, saved: OptimizerState | null = null): Optimizer {
  const { weightDecay, beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8 } = options
  const first = restoreMoment(saved, 'first', length)
  const second = restoreMoment(saved, 'second', length)
  let updates = saved?.updates ?? 0
  return {
    get state () { return { updates, moments: { first, second } } },
    update (values, gradient, learningRate) {
      updates++
      const stepSize = learningRate / (1 - beta1 ** updates)
      const rootCorrection = Math.sqrt(1 - beta2 ** updates)
      for (let i = 0; i < length; i++) {
        const g = gradient[i]!
        first[i] = beta1 * first[i]! + (1 - beta1) * g
        second[i] = beta2 * second[i]! + (1 - beta2) * g * g
        values[i] = values[i]! * (1 - learningRate * weightDecay) - stepSize * first[i]! / (Math.sqrt(second[i]!) / rootCorrection + epsilon)
      }
    }
  }
}
