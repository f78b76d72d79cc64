import type { Penalties } from './protocol.js'

/**
 * Scores lowered for what was said already. Repetition is that of Hugging Face transformers, over input and answer: a
 * positive score is divided by it, a negative one multiplied, in float32. Presence and frequency are OpenAI's, over the
 * answer alone: the first is subtracted once, the second for each time. Virtual tokens have no ids and do not count.
 *
 * All its memory is there from the start: a step allocates nothing.
 */
export class PenalisedTokens {
  readonly #repetition: number
  readonly #presence: number
  readonly #frequency: number
  /** Different ids in the order of their first appearance, how often each was generated, and its score before `lower`. */
  readonly #ids: Int32Array
  readonly #generated: Int32Array
  readonly #scores: Float32Array
  #count = 0

  /** @param maxTokens most tokens that will be `add`ed */
  constructor ({ repetition, presence, frequency }: Penalties, inputIds: readonly number[], maxTokens: number) {
    this.#repetition = Math.fround(repetition)
    this.#presence = presence
    this.#frequency = frequency
    const input = repetition === 1 ? [] : [...new Set(inputIds)]
    this.#ids = new Int32Array(input.length + maxTokens)
    this.#generated = new Int32Array(this.#ids.length)
    this.#scores = new Float32Array(this.#ids.length)
    this.#ids.set(input)
    this.#count = input.length
  }

  /** A token was generated. */
  add (id: number): void {
    let index = 0
    while (index < this.#count && this.#ids[index] !== id) index++
    if (index === this.#count) this.#ids[this.#count++] = id
    this.#generated[index]!++
  }

  /** @param logits [vocabulary], changed in place until `restore` */
  lower (logits: Float32Array): void {
    for (let index = 0; index < this.#count; index++) {
      const id = this.#ids[index]!
      const times = this.#generated[index]!
      const score = logits[id]!
      this.#scores[index] = score
      const repeated = Math.fround(score < 0 ? score * this.#repetition : score / this.#repetition)
      logits[id] = times === 0 ? repeated : repeated - this.#presence - this.#frequency * times
    }
  }

  /** The scores as they were before `lower`. */
  restore (logits: Float32Array): void {
    for (let index = 0; index < this.#count; index++) logits[this.#ids[index]!] = this.#scores[index]!
  }
}
