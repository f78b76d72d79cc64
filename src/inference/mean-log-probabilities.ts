import { logSumExp } from './log-sum-exp.js'

/**
 * The vote of an ensemble: the mean of the log-probabilities that each member gives, the logarithm of the geometric mean of
 * their probabilities. (Lester et al., "The Power of Scale for Parameter-Efficient Prompt Tuning", EMNLP 2021, section 6,
 * let the prompts of one model vote by majority, which leaves ties and says nothing of tokens.) In float64 and in the order
 * of the members: the same scores give the same bits.
 */
export class MeanLogProbabilities {
  readonly #sums: Float64Array
  #members = 0

  constructor (choices: number) {
    this.#sums = new Float64Array(choices)
  }

  /** @param scores [choices] of the next member, finite */
  add (scores: ArrayLike<number>): void {
    const normaliser = logSumExp(scores)
    for (let index = 0; index < this.#sums.length; index++) this.#sums[index]! += scores[index]! - normaliser
    this.#members++
  }

  /** The means go into `means`, and the next vote begins. */
  take<T extends Float32Array | Float64Array> (means: T): T {
    for (let index = 0; index < this.#sums.length; index++) means[index] = this.#sums[index]! / this.#members
    this.#sums.fill(0)
    this.#members = 0
    return means
  }
}
