const FIRST_MS = 100
const LONGEST_MS = 10_000
/** Up for this long, the process counts as healthy again. */
const HEALTHY_MS = 30_000

/** Milliseconds to wait before a restart: 100, 200, 400 ... 10,000, from the start again after 30 s of health. */
export class Backoff {
  #failures = 0

  next (uptimeMs: number): number {
    if (uptimeMs >= HEALTHY_MS) this.#failures = 0
    return Math.min(FIRST_MS * 2 ** this.#failures++, LONGEST_MS)
  }
}
