/** From the raw scores of one position to a token. Pure: the same scores, settings and step give the same token. */
import { logSumExp } from './log-sum-exp.js'
import { uniform } from './philox.js'
import type { Sampling } from './protocol.js'
import { topTokens } from './top-tokens.js'

/** Sorted candidates tried before the whole vocabulary is sorted: real distributions reach top-p within these. */
const FIRST_CANDIDATES = 128

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
  const { ids, weights } = sampling.topK === 0 && sampling.topP === 1 ? wholeVocabulary(logits, weightOf) : nucleus(logits, sampling, weightOf)
  // The best candidate weighs 1, so min-p compares weights as they are.
  let total = 0
  for (const weight of weights) if (weight >= sampling.minP) total += weight
  let left = uniform(sampling.seed, step, sampling.sample) * total
  let last = best
  for (const [index, weight] of weights.entries()) {
    if (weight < sampling.minP || weight === 0) continue
    last = ids === null ? index : ids[index]!
    left -= weight
    if (left < 0) return last
  }
  return last // rounding left a little over
}

interface Candidates { /** null: every id in order */ readonly ids: readonly number[] | null, readonly weights: Float64Array }

function wholeVocabulary (logits: Float32Array, weightOf: (id: number) => number): Candidates {
  const weights = new Float64Array(logits.length)
  for (let id = 0; id < logits.length; id++) weights[id] = weightOf(id)
  return { ids: null, weights }
}

/** The `topK` best, of these the fewest whose share reaches `topP`, best first. */
function nucleus (logits: Float32Array, { topK, topP }: Sampling, weightOf: (id: number) => number): Candidates {
  const allowed = topK === 0 ? logits.length : Math.min(topK, logits.length)
  if (topP === 1) return weighed(topTokens(logits, allowed), weightOf)
  let total = 0
  if (topK === 0) for (let id = 0; id < logits.length; id++) total += weightOf(id)
  else for (const id of topTokens(logits, allowed)) total += weightOf(id)
  for (const count of [Math.min(FIRST_CANDIDATES, allowed), allowed]) {
    const { ids, weights } = weighed(topTokens(logits, count), weightOf)
    let share = 0
    const end = weights.findIndex(weight => (share += weight) >= topP * total)
    if (end !== -1) return { ids: ids!.slice(0, end + 1), weights: weights.subarray(0, end + 1) }
    if (count === allowed) return { ids, weights }
  }
  throw new Error('internal: no candidates')
}

function weighed (ids: readonly number[], weightOf: (id: number) => number): Candidates {
  return { ids, weights: Float64Array.from(ids, weightOf) }
}

export interface LogProbabilities { readonly logprob: number, readonly top: ReadonlyArray<readonly [id: number, logprob: number]> }

/** Natural logarithms from the raw scores, before temperature and filters; the `count` most likely beside the chosen one. */
export function logProbabilities (logits: Float32Array, chosen: number, count: number): LogProbabilities {
  const normaliser = logSumExp(logits)
  return { logprob: logits[chosen]! - normaliser, top: topTokens(logits, count).map(id => [id, logits[id]! - normaliser] as const) }
}
