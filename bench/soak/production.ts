/** Which versions of a task were production, and when, as far as whoever moves the alias can tell. */
import type { Digest } from '../../src/digest.js'

interface Span { readonly digest: Digest, readonly from: number, to: number }

/** Times are of `performance.now`. */
export class Production {
  readonly #spans: Span[] = []

  /** Before the move to `digest` is asked for: from `now` on it may answer, and the others still do. */
  moving (digest: Digest, now: number): void {
    this.#spans.push({ digest, from: now, to: Infinity })
  }

  /** After the move was answered: a request from `now` on gets the last one that came. */
  moved (now: number): void {
    for (const span of this.#spans.slice(0, -1)) span.to = Math.min(span.to, now)
  }

  /** Whether it was production at some moment between two. */
  was (digest: Digest, asked: number, answered: number): boolean {
    return this.#spans.some(span => span.digest === digest && span.from <= answered && span.to >= asked)
  }
}
