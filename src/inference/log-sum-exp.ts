import { exponential } from './exponential.js'

/** Logarithm of the sum of exponentials, in float64 and in order: what scores lose to become log-probabilities. @param scores finite, at least one */
export function logSumExp (scores: ArrayLike<number>): number {
  let highest = scores[0]!
  for (let index = 1; index < scores.length; index++) if (scores[index]! > highest) highest = scores[index]!
  let total = 0
  for (let index = 0; index < scores.length; index++) total += exponential(scores[index]! - highest)
  return highest + Math.log(total)
}
