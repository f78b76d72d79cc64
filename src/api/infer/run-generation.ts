import { ServiceError } from '../../errors.js'
import type { InferenceClient } from '../../inference/client-contract.js'
import { membersOf, type SequenceEvent, type SequenceRequest, type Timing } from '../../inference/protocol.js'
import type { Tokenizer } from '../../model/tokenizer.js'
import { Detokenizer } from './detokenizer.js'
import { type Choice, type Outcome, timingOf, type TokenLogprob, type Usage } from './outcome.js'
import { StopStrings } from './stop-strings.js'

/** Text that is certain; the last part says how it ended. */
export type GenerationPart =
  | { readonly type: 'text', readonly text: string, readonly logprobs?: TokenLogprob[] }
  | { readonly type: 'finished', readonly finish_reason: 'stop' | 'length', readonly usage: Usage, readonly timing_ms: Outcome['timing_ms'] }

/**
 * Generate, and turn ids into text as they come: half characters and what may become a stop string are held back. A
 * stop string ends the run at once: leaving the iteration over `run` frees the slot.
 * @throws ServiceError as `InferenceClient.run`, or what the sequence failed with
 */
export async function * runGeneration (inference: InferenceClient, tokenizer: Tokenizer, request: SequenceRequest, options: { readonly stops: readonly string[], readonly virtualTokens: number, readonly signal: AbortSignal }): AsyncGenerator<GenerationPart> {
  const startedAt = performance.now()
  const detokenizer = new Detokenizer(tokenizer)
  const stops = new StopStrings(options.stops)
  const members = membersOf(request)
  let tokens = 0
  let logprobs: TokenLogprob[] = []

  function * certain (text: string): Generator<GenerationPart> {
    if (text === '' && logprobs.length === 0) return
    yield logprobs.length === 0 ? { type: 'text', text } : { type: 'text', text, logprobs }
    logprobs = []
  }
  const finished = (reason: 'stop' | 'length', virtualTokens: number, timing: Timing | null): GenerationPart => ({
    type: 'finished',
    finish_reason: reason,
    usage: { prompt_tokens: request.inputIds.length * members, virtual_tokens: virtualTokens, completion_tokens: tokens * members },
    timing_ms: timingOf(startedAt, timing)
  })

  for await (const event of inference.run(request, options.signal)) {
    switch (event.type) {
      case 'token': {
        tokens++
        if (event.logprob !== undefined) logprobs.push(tokenLogprob(tokenizer, event, event.logprob))
        const { text, stopped } = stops.push(detokenizer.push(event.id))
        if (text !== '' || stopped) yield * certain(text)
        if (!stopped) break
        yield finished('stop', options.virtualTokens, null)
        return
      }
      case 'finished': {
        const last = stops.push(detokenizer.flush())
        yield * certain(last.stopped ? last.text : last.text + stops.flush())
        yield finished(last.stopped ? 'stop' : event.reason, event.virtualTokens, event.timing)
        return
      }
      case 'failed': throw new ServiceError(event.code, event.message)
      default: throw new Error(`internal: ${event.type} is no event of a generation`)
    }
  }
  throw new ServiceError('inference_unavailable', 'the inference process ended before its answer', { retryAfter: 1 })
}

function tokenLogprob (tokenizer: Tokenizer, event: Extract<SequenceEvent, { type: 'token' }>, logprob: number): TokenLogprob {
  return {
    token: tokenizer.piece(event.id),
    logprob,
    top: (event.top ?? []).map(([id, value]) => ({ token: tokenizer.piece(id), logprob: value }))
  }
}

/** All parts as one result. */
export async function wholeGeneration (parts: AsyncIterable<GenerationPart>): Promise<Choice & Pick<Outcome, 'usage' | 'timing_ms'>> {
  let text = ''
  const logprobs: TokenLogprob[] = []
  for await (const part of parts) {
    if (part.type === 'text') {
      text += part.text
      logprobs.push(...part.logprobs ?? [])
    } else {
      const { finish_reason, usage, timing_ms } = part
      return { text, finish_reason, ...(logprobs.length === 0 ? {} : { logprobs }), usage, timing_ms }
    }
  }
  throw new Error('internal: a generation ends with how it finished')
}
