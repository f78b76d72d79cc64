import { ServiceError } from '../../errors.js'
import type { InferenceClient } from '../../inference/client-contract.js'
import type { SequenceRequest } from '../../inference/protocol.js'
import type { Tokenizer } from '../../model/tokenizer.js'
import { type Choice, type Outcome, timingOf } from './outcome.js'

/** One answer as itself, several as choices, the best first. @throws ServiceError as `InferenceClient.run`, or what the search failed with */
export async function runBeams (inference: InferenceClient, tokenizer: Tokenizer, request: SequenceRequest, signal: AbortSignal): Promise<Outcome> {
  const startedAt = performance.now()
  for await (const event of inference.run(request, signal)) {
    if (event.type === 'failed') throw new ServiceError(event.code, event.message)
    if (event.type !== 'beams') throw new Error(`internal: ${event.type} is no event of a beam search`)
    const choices: Choice[] = event.beams.map(({ ids, score, reason }) => ({ text: tokenizer.decode([...ids]), finish_reason: reason, score }))
    return {
      ...(choices.length === 1 ? choices[0] : { choices }),
      usage: { prompt_tokens: request.inputIds.length, virtual_tokens: event.virtualTokens, completion_tokens: event.generated },
      timing_ms: timingOf(startedAt, event.timing)
    }
  }
  throw new ServiceError('inference_unavailable', 'the inference process ended before its answer', { retryAfter: 1 })
}
