import type { MicroBatch } from './batches.js'
import type { ParameterValues } from './parameter.js'

/** `loss` in nats per prediction, always; `accuracy` and `macro_f1`, 0..1, for classification. */
export type Metrics = Readonly<Record<string, number>>

/**
 * What the loop needs from the frozen LM. Both reject with the signal's reason when it fires, between two micro-batches
 * at the latest.
 */
export interface TrainingModel {
  /** This part's share of the batch's mean loss, and the gradients of that, one for each parameter in order. */
  lossAndGradients (parameters: ParameterValues, batch: MicroBatch, signal: AbortSignal): Promise<{ readonly loss: number, readonly gradients: readonly Float32Array[] }>
  /** On the validation rows. */
  evaluate (parameters: ParameterValues, signal: AbortSignal): Promise<Metrics>
}
