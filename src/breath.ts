import { setImmediate as nextTurn } from 'node:timers/promises'

/** Other requests wait no longer than this for a long loop. */
const MAX_BUSY_MS = 4

/** For loops over many rows: await `pause()` after each row, and the event loop gets its turn every few milliseconds. */
export class Breath {
  #since = performance.now()

  get isDue (): boolean {
    return performance.now() - this.#since >= MAX_BUSY_MS
  }

  async pause (): Promise<void> {
    if (!this.isDue) return
    await nextTurn()
    this.#since = performance.now()
  }
}
