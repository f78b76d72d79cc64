import type { Digest } from '../digest.js'

/** Work that is done once for all who ask for it at the same time, some of it at once. A failure is not remembered. */
export class SingleFlight<Result> {
  readonly #atOnce: number
  readonly #underWay = new Map<Digest, Promise<Result>>()
  readonly #waiting: Array<() => void> = []
  #busy = 0

  /** @param atOnce more than these wait for their turn */
  constructor (atOnce: number) {
    this.#atOnce = atOnce
  }

  /** @returns the result of this `work`, or of that which is under way for the digest */
  run (digest: Digest, work: () => Promise<Result>): Promise<Result> {
    const known = this.#underWay.get(digest)
    if (known !== undefined) return known
    const result = this.#inTurn(work).finally(() => this.#underWay.delete(digest))
    this.#underWay.set(digest, result)
    return result
  }

  async #inTurn (work: () => Promise<Result>): Promise<Result> {
    if (this.#busy < this.#atOnce) this.#busy++
    else await new Promise<void>(resolve => this.#waiting.push(resolve))
    try {
      return await work()
    } finally {
      // The turn goes to the next one without becoming free in between.
      const next = this.#waiting.shift()
      if (next === undefined) this.#busy--
      else next()
    }
  }
}
