/** Finds stop strings in text that arrives in pieces, and holds back what may still become one. */
export class StopStrings {
  readonly #stops: readonly string[]
  #held = ''

  constructor (stops: readonly string[]) {
    this.#stops = stops
  }

  /**
   * @returns the text that is certain not to belong to a stop string, and whether one was found; it and everything
   * behind it are dropped. Of several, the one that is complete first counts, however the text was cut into pieces.
   */
  push (text: string): { readonly text: string, readonly stopped: boolean } {
    const seen = this.#held + text
    const first = this.#firstMatch(seen)
    if (first !== null) {
      this.#held = ''
      return { text: seen.slice(0, first), stopped: true }
    }
    const keep = this.#possibleStart(seen)
    this.#held = seen.slice(seen.length - keep)
    return { text: seen.slice(0, seen.length - keep), stopped: false }
  }

  /** The text that was held back, when nothing more comes. */
  flush (): string {
    const text = this.#held
    this.#held = ''
    return text
  }

  #firstMatch (text: string): number | null {
    let best: { start: number, end: number } | null = null
    for (const stop of this.#stops) {
      const start = text.indexOf(stop)
      if (start === -1) continue
      const end = start + stop.length
      if (best === null || end < best.end || (end === best.end && start < best.start)) best = { start, end }
    }
    return best === null ? null : best.start
  }

  /** Length of the longest end of `text` that begins a stop string. */
  #possibleStart (text: string): number {
    let longest = 0
    for (const stop of this.#stops) {
      for (let length = Math.min(stop.length - 1, text.length); length > longest; length--) {
        if (stop.startsWith(text.slice(text.length - length))) longest = length
      }
    }
    return longest
  }
}
