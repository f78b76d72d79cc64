import type { Tokenizer } from '../../model/tokenizer.js'

/** A character has at most 4 bytes, so more undecodable tokens in a row than this are not the start of one. */
const MAX_HELD_TOKENS = 8

/**
 * Ids to text, token by token. The text of a token depends on its neighbours (spaces, half UTF-8 characters), so each
 * step decodes a short window of ids twice, with and without the new ones, and the difference is the new text. A window
 * that ends in U+FFFD may end in half a character and is held back.
 */
export class Detokenizer {
  readonly #tokenizer: Tokenizer
  /** Ids whose text was given out already, kept as context of the next ones. */
  #context: number[] = []
  #held: number[] = []

  constructor (tokenizer: Tokenizer) {
    this.#tokenizer = tokenizer
  }

  /** The text that is certain after this token; often '', when a character is not complete. */
  push (id: number): string {
    this.#held.push(id)
    return this.#take(false)
  }

  /** What is left, complete or not. */
  flush (): string {
    return this.#held.length === 0 ? '' : this.#take(true)
  }

  #take (incomplete: boolean): string {
    const before = this.#tokenizer.decode(this.#context)
    const after = this.#tokenizer.decode([...this.#context, ...this.#held])
    if (after.endsWith('\uFFFD') && !incomplete && this.#held.length < MAX_HELD_TOKENS) return ''
    this.#context = this.#held
    this.#held = []
    return after.slice(before.length)
  }
}
