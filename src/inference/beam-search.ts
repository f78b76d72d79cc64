import { exponential } from './exponential.js'
import type { BeamAnswer, BeamWork } from './protocol.js'

/**
 * Beam search as Hugging Face transformers does it: of all continuations of the running beams the best are looked at;
 * what ends among the first `beams` of them is an answer with the score sum of log-probabilities / tokens^lengthPenalty
 * (the end token counts), and the best `beams` that do not end run on. Pure; equal scores go by the better beam, then by
 * the lower id. A step allocates nothing but the answers that it finds.
 */
export class BeamSearch {
  /** Beams that the next step continues: one at first. They are numbered by rank, the best is 0. */
  running = 1
  /** By rank, after a step: the rank in the step before of the beam that was continued, and its new token. */
  readonly parents: Int32Array
  readonly tokens: Int32Array
  readonly #options: BeamWork
  readonly #ends: ReadonlySet<number>
  /** Sums of log-probabilities by rank, now and after the step. */
  #sums: Float64Array
  #nextSums: Float64Array
  /** Continuations of all running beams, best first. */
  readonly #candidateSums: Float64Array
  readonly #candidateRanks: Int32Array
  readonly #candidateIds: Int32Array
  #candidates = 0
  /** [step, rank]: which beam of the step before it continued, and with which token. */
  readonly #pathRanks: Int32Array
  readonly #pathIds: Int32Array
  #steps = 0
  /** Best first, at most `beams`. */
  readonly #answers: BeamAnswer[] = []

  /** @param options `maxTokens` is what memory is taken for */
  constructor (options: BeamWork) {
    const { beams, maxTokens } = options
    this.#options = options
    this.#ends = new Set(options.stopTokenIds)
    this.parents = new Int32Array(beams)
    this.tokens = new Int32Array(beams)
    this.#sums = new Float64Array(beams)
    this.#nextSums = new Float64Array(beams)
    const candidates = candidatesOf(options)
    this.#candidateSums = new Float64Array(candidates)
    this.#candidateRanks = new Int32Array(candidates)
    this.#candidateIds = new Int32Array(candidates)
    this.#pathRanks = new Int32Array(maxTokens * beams)
    this.#pathIds = new Int32Array(maxTokens * beams)
  }

  /** Best first; complete after the last step. */
  get answers (): readonly BeamAnswer[] { return this.#answers }

  /**
   * One token more for every beam; answers whether the search is over.
   * @param logitsOf [vocabulary] of each running beam, by rank; at least `candidatesOf` ids
   */
  step (logitsOf: (rank: number) => Float32Array): boolean {
    const { beams, maxTokens, lengthPenalty, earlyStopping } = this.#options
    this.#candidates = 0
    for (let rank = 0; rank < this.running; rank++) this.#consider(rank, logitsOf(rank))
    const length = this.#steps + 1
    const last = length === maxTokens
    let running = 0
    for (let place = 0; place < this.#candidates && (running < beams || place < beams); place++) {
      const ends = this.#ends.has(this.#candidateIds[place]!)
      if (ends || last) {
        if (place < beams) this.#finish(place, length, ends)
      } else if (running < beams) this.#continue(place, running++)
    }
    this.running = running
    this.#steps = length
    const sums = this.#sums
    this.#sums = this.#nextSums
    this.#nextSums = sums
    if (last) return true
    if (this.#answers.length < beams) return false
    if (earlyStopping === true) return true
    const hypothetical = earlyStopping === 'never' && lengthPenalty > 0 ? maxTokens : length
    return this.#sums[0]! / hypothetical ** lengthPenalty <= this.#answers.at(-1)!.score
  }

  #consider (rank: number, logits: Float32Array): void {
    let highest = -Infinity
    for (let id = 0; id < logits.length; id++) if (logits[id]! > highest) highest = logits[id]!
    let total = 0
    for (let id = 0; id < logits.length; id++) total += exponential(logits[id]! - highest)
    const base = this.#sums[rank]! - highest - Math.log(total)
    const sums = this.#candidateSums
    for (let id = 0; id < logits.length; id++) {
      const sum = base + logits[id]!
      const full = this.#candidates === sums.length
      if (full && sum <= sums[sums.length - 1]!) continue
      let place = full ? this.#candidates - 1 : this.#candidates++
      for (; place > 0 && sums[place - 1]! < sum; place--) {
        sums[place] = sums[place - 1]!
        this.#candidateRanks[place] = this.#candidateRanks[place - 1]!
        this.#candidateIds[place] = this.#candidateIds[place - 1]!
      }
      sums[place] = sum
      this.#candidateRanks[place] = rank
      this.#candidateIds[place] = id
    }
  }

  #continue (place: number, rank: number): void {
    const step = this.#steps * this.#options.beams + rank
    this.parents[rank] = this.#pathRanks[step] = this.#candidateRanks[place]!
    this.tokens[rank] = this.#pathIds[step] = this.#candidateIds[place]!
    this.#nextSums[rank] = this.#candidateSums[place]!
  }

  #finish (place: number, length: number, ends: boolean): void {
    const { beams, lengthPenalty } = this.#options
    const score = this.#candidateSums[place]! / length ** lengthPenalty
    const behind = this.#answers.findIndex(answer => answer.score < score)
    if (behind === -1 && this.#answers.length === beams) return
    const ids = this.#pathTo(this.#candidateRanks[place]!)
    if (!ends) ids.push(this.#candidateIds[place]!)
    this.#answers.splice(behind === -1 ? this.#answers.length : behind, 0, { ids, score, reason: ends ? 'stop' : 'length' })
    this.#answers.splice(beams)
  }

  /** The tokens of a running beam before this step. */
  #pathTo (rank: number): number[] {
    const ids: number[] = []
    for (let step = this.#steps - 1, at = rank; step >= 0; step--) {
      const index = step * this.#options.beams + at
      ids.push(this.#pathIds[index]!)
      at = this.#pathRanks[index]!
    }
    return ids.reverse()
  }
}

/** Continuations that are looked at in a step: enough that `beams` run on even when all that can end does. The vocabulary must have as many. */
export function candidatesOf ({ beams, stopTokenIds }: Pick<BeamWork, 'beams' | 'stopTokenIds'>): number {
  return Math.max(2, 1 + new Set(stopTokenIds).size) * beams
}
