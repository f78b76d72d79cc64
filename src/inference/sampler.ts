/** From the raw scores of one position to a token. Pure: the same scores, settings and step give the same token. */
import { logSumExp } from './log-sum-exp.js'
import { uniform } from './philox.js'
import type { Sampling } from './protocol.js'
import { type Tempered, weightOf } from './tempered.js'
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
  const { temperature, topK, topP, minP } = sampling
  if (temperature === 0) return best
  const tempered = { logits, highest: logits[best]!, temperature }
  const point = uniform(sampling.seed, step, sampling.sample)
  if (topK === 0 && topP === 1) return draw(tempered, null, minP, point)
  return draw(tempered, topK === 0 ? topShare(tempered, topP) : shareOf(tempered, topTokens(logits, topK), topP), minP, point)
}

/** Of the `topK` best the fewest whose share reaches `topP`, best first. */
function shareOf (tempered: Tempered, ids: readonly number[], topP: number): readonly number[] {
  if (topP === 1) return ids
  return fewest(tempered, ids, topP * ids.reduce((sum, id) => sum + weightOf(tempered, id), 0)).ids
}

/**
 * The token at `point`, in [0, 1), of all weight, when tokens follow each other in order. Weights are computed twice
 * rather than kept: a draw allocates nothing.
 * @param ids null: the whole vocabulary
 * @param minP smaller weights do not count; the largest is 1, so they are compared as they are
 */
function draw (tempered: Tempered, ids: readonly number[] | null, minP: number, point: number): number {
  const count = ids === null ? tempered.logits.length : ids.length
  let total = 0
  for (let index = 0; index < count; index++) {
    const weight = weightOf(tempered, ids === null ? index : ids[index]!)
    if (weight >= minP) total += weight
  }
  let left = point * total
  let last = 0
  for (let index = 0; index < count; index++) {
    const id = ids === null ? index : ids[index]!
    const weight = weightOf(tempered, id)
    if (weight < minP || weight === 0) continue
    last = id
    left -= weight
    if (left < 0) return last
  }
  return last // rounding left a little over
}

export interface LogProbabilities { readonly logprob: number, readonly top: ReadonlyArray<readonly [id: number, logprob: number]> }

/** Natural logarithms from the raw scores, before temperature and filters; the `count` most likely beside the chosen one. */
export function logProbabilities (logits: Float32Array, chosen: number, count: number): LogProbabilities {
  const normaliser = logSumExp(logits)
  return { logprob: logits[chosen]! - normaliser, top: topTokens(logits, count).map(id => [id, logits[id]! - normaliser] as const) }
}
