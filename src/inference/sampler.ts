/** From the raw scores of one position to a token. Pure: the same scores, settings and step give the same token. */
import { logSumExp } from './log-sum-exp.js'
import { uniform } from './philox.js'
import type { Sampling } from './protocol.js'
import { fewest, topShare } from './top-share.js'
import { topTokens } from './top-tokens.js'

/** The largest score; of equal ones the lowest id. Four ids a turn, as few turns find one: half the time of one by one. */
export function argmax (logits: Float32Array): number {
  let best = 0
  let highest = logits[0]!
  for (let from = 0; from < logits.length; from += 4) {
    const end = from + 4
    if (end <= logits.length && !(logits[from]! > highest || logits[from + 1]! > highest || logits[from + 2]! > highest || logits[from + 3]! > highest)) continue
    for (let id = from; id < end && id < logits.length; id++) {
      if (!(logits[id]! > highest)) continue
      highest = logits[id]!
      best = id
    }
  }
  return best
}

/**
 * Temperature, then top-k, top-p and min-p in this order, each on what the one before left (the order of Hugging Face
 * transformers). `step` counts the tokens this sequence has drawn.
 * @param logits [vocabulary], finite
 */
export function chooseToken (logits: Float32Array, sampling: Sampling, step: number): number {
  const best = argmax(logits)
  if (sampling.temperature === 0) return best
  const highest = logits[best]!
  const weightOf = (id: number): number => Math.exp((logits[id]! - highest) / sampling.temperature)
  const { ids, weights } = candidates(logits, highest, sampling, weightOf)
  // The best candidate weighs 1, so min-p compares weights as they are.
  let total = 0
  for (const weight of weights) if (weight >= sampling.minP) total += weight
  let left = uniform(sampling.seed, step, sampling.sample) * total
  let last = best
  for (let index = 0; index < weights.length; index++) {
    const weight = weights[index]!
    if (weight < sampling.minP || weight === 0) continue
    last = ids === null ? index : ids[index]!
    left -= weight
    if (left < 0) return last
  }
  return last // rounding left a little over
}

interface Candidates { /** null: every id in order */ readonly ids: readonly number[] | null, readonly weights: Float64Array }

/** The `topK` best, of these the fewest whose share reaches `topP`, best first. */
function candidates (logits: Float32Array, highest: number, { temperature, topK, topP }: Sampling, weightOf: (id: number) => number): Candidates {
  if (topK === 0) return topP === 1 ? wholeVocabulary(logits, weightOf) : topShare(logits, highest, temperature, topP, weightOf)
  const ids = topTokens(logits, topK)
  if (topP === 1) return { ids, weights: Float64Array.from(ids, weightOf) }
  return fewest(ids, topP * ids.reduce((sum, id) => sum + weightOf(id), 0), weightOf)
}

function wholeVocabulary (logits: Float32Array, weightOf: (id: number) => number): Candidates {
  const weights = new Float64Array(logits.length)
  for (let id = 0; id < logits.length; id++) weights[id] = weightOf(id)
  return { ids: null, weights }
}

export interface LogProbabilities { readonly logprob: number, readonly top: ReadonlyArray<readonly [id: number, logprob: number]> }

/** Natural logarithms from the raw scores, before temperature and filters; the `count` most likely beside the chosen one. */
export function logProbabilities (logits: Float32Array, chosen: number, count: number): LogProbabilities {
  const normaliser = logSumExp(logits)
  return { logprob: logits[chosen]! - normaliser, top: topTokens(logits, count).map(id => [id, logits[id]! - normaliser] as const) }
}
