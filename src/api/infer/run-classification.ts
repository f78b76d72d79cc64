import { ServiceError } from '../../errors.js'
import type { InferenceClient } from '../../inference/client-contract.js'
import { membersOf, type SequenceRequest } from '../../inference/protocol.js'
import { type Outcome, timingOf } from './outcome.js'

/** @param labels names in the order of the artifact's label rows */
export async function runClassification (inference: InferenceClient, request: SequenceRequest, labels: readonly string[], options: { readonly scores: boolean, readonly signal: AbortSignal }): Promise<Outcome> {
  const startedAt = performance.now()
  for await (const event of inference.run(request, options.signal)) {
    if (event.type === 'failed') throw new ServiceError(event.code, event.message)
    if (event.type !== 'scores') throw new Error(`internal: ${event.type} is no event of a classification`)
    const { probabilities, virtualTokens, timing } = event
    if (probabilities.length !== labels.length) throw new Error(`internal: ${probabilities.length} scores for ${labels.length} labels`)
    return {
      label: labels[indexOfLargest(probabilities)] as string,
      ...(options.scores ? { scores: Object.fromEntries(labels.map((label, index) => [label, probabilities[index] as number])) } : {}),
      usage: { prompt_tokens: request.inputIds.length * membersOf(request), virtual_tokens: virtualTokens, completion_tokens: 0 },
      timing_ms: timingOf(startedAt, timing)
    }
  }
  throw new ServiceError('inference_unavailable', 'the inference process ended before its answer', { retryAfter: 1 })
}

/** Of equals the first, as everywhere. */
function indexOfLargest (values: readonly number[]): number {
  return values.reduce((best, value, index) => value > (values[best] as number) ? index : best, 0)
}
