/** The prompts of one request: each is in memory for it until its prefix lies in the slot of a row, and its labels until the end. */
import type { CompiledPrompt } from './compiled-prompt.js'
import type { PinnedPrompt } from './prompt-cache.js'

export class RequestPrompts {
  /** Null: no longer needed. */
  readonly #pinned: Array<PinnedPrompt | null>
  readonly #labels: ReadonlyArray<Float32Array | null>
  /** Of all. */
  readonly virtualTokens: number

  /** @param pinned released from here on; none: the bare base */
  constructor (pinned: readonly PinnedPrompt[]) {
    this.#pinned = [...pinned]
    this.#labels = pinned.map(({ value }) => value.labels)
    this.virtualTokens = pinned.reduce((sum, { value }) => sum + value.virtualTokens, 0)
  }

  get count (): number { return this.#labels.length }

  /** Null when it has been released, and of the bare base. */
  at (member: number): CompiledPrompt | null {
    return this.#pinned[member]?.value ?? null
  }

  /** [labels, hidden] of a prompt that has some. */
  labelsOf (member: number): Float32Array {
    return this.#labels[member]!
  }

  /** Releasing twice is harmless. */
  release (member: number): void {
    this.#pinned[member]?.release()
    if (member < this.#pinned.length) this.#pinned[member] = null
  }

  releaseAll (): void {
    for (const member of this.#pinned.keys()) this.release(member)
  }
}
