import type { TokenMasks } from './token-masks.js'

/** One answer on its way through the masks: what may come next, and whether it may end. */
export class ConstrainedText {
  readonly #masks: TokenMasks
  readonly #stopTokens: ReadonlySet<number>
  readonly #allowed: Float32Array
  #state = 0
  #isFirst = true

  /** @param allowed [vocabulary] scratch, written by `allowed`; of several answers the same */
  constructor (masks: TokenMasks, stopTokens: ReadonlySet<number>, allowed: Float32Array) {
    this.#masks = masks
    this.#stopTokens = stopTokens
    this.#allowed = allowed
  }

  /** Nothing can come but the end. */
  isComplete (): boolean {
    return this.#masks.mayEnd(this.#state) && !this.#masks.mayGoOn(this.#state)
  }

  /**
   * The scores of what may come next, all others -Infinity; a stop token may where the text may end.
   * @param scores [vocabulary], left as they are
   * @returns [vocabulary], valid until the next call for any answer
   */
  allowed (scores: Float32Array): Float32Array {
    const allowed = this.#allowed
    const mask = this.#masks.of(this.#state, this.#isFirst)
    for (let word = 0; word < mask.length; word++) {
      const bits = mask[word]!
      const from = word * 32
      if (bits === 0xffffffff) allowed.set(scores.subarray(from, from + 32), from)
      else allowed.fill(-Infinity, from, from + 32)
      if (bits === 0 || bits === 0xffffffff) continue
      for (let bit = 0; bit < 32; bit++) if ((bits >>> bit & 1) === 1) allowed[from + bit] = scores[from + bit]!
    }
    const mayEnd = this.#masks.mayEnd(this.#state)
    for (const id of this.#stopTokens) if (id < scores.length) allowed[id] = mayEnd ? scores[id]! : -Infinity
    return allowed
  }

  /** @param id one that was allowed and is no stop token */
  add (id: number): void {
    this.#state = this.#masks.behind(this.#state, id, this.#isFirst)
    this.#isFirst = false
  }
}
