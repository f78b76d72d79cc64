import type { SequenceRequest } from '../../inference/protocol.js'
import { inOrder } from './in-order.js'
import { type Choice, type Outcome, timingOf, type Usage } from './outcome.js'

type Sampled = Choice & { readonly usage: Usage }

/**
 * Independent samples of one input, drawn with one seed. When one fails the others are cancelled.
 * @throws what the first failed with
 */
export async function runSamples (request: SequenceRequest, options: { readonly samples: number, readonly atOnce: number, readonly signal: AbortSignal }, run: (request: SequenceRequest, signal: AbortSignal) => Promise<Sampled>): Promise<Outcome> {
  const startedAt = performance.now()
  const failure = new AbortController()
  const signal = AbortSignal.any([options.signal, failure.signal])
  try {
    const numbers = Array.from({ length: options.samples }, (_, sample) => sample)
    const sampled = await inOrder(numbers, options.atOnce, async sample => await run(sampleOf(request, sample), signal))
    const usage: Usage = { prompt_tokens: 0, virtual_tokens: 0, completion_tokens: 0 }
    for (const one of sampled) {
      usage.prompt_tokens += one.usage.prompt_tokens
      usage.virtual_tokens += one.usage.virtual_tokens
      usage.completion_tokens += one.usage.completion_tokens
    }
    const choices = sampled.map(({ text, finish_reason, logprobs }) => ({ text, finish_reason, ...(logprobs === undefined ? {} : { logprobs }) }))
    return { choices, usage, timing_ms: timingOf(startedAt, null) }
  } catch (error) {
    failure.abort()
    throw error
  }
}

function sampleOf (request: SequenceRequest, sample: number): SequenceRequest {
  if (request.work.kind !== 'generate') throw new Error('internal: samples of a classification')
  return { ...request, id: `${request.id}-${sample}`, work: { ...request.work, sampling: { ...request.work.sampling, sample } } }
}
