/**
 * Compiled prompts by artifact digest, within a bound of bytes. A digest names bytes, never a name a client chose, so
 * an entry can not be stale.
 */
import type { Digest } from '../digest.js'
import { bytesOf, type CompiledPrompt } from './compiled-prompt.js'

export interface PinnedPrompt {
  readonly prompt: CompiledPrompt
  /** It may be evicted again. Releasing twice is harmless. */
  release (): void
}

interface Entry { readonly prompt: CompiledPrompt, pins: number }

export class PromptCache {
  readonly #limit: number
  readonly #load: (digest: Digest, arrival: number) => Promise<CompiledPrompt>
  /** Least recently used first. */
  readonly #entries = new Map<Digest, Entry>()
  readonly #loading = new Map<Digest, Promise<Entry>>()
  #bytes = 0

  /** @param limit bytes; only prompts in use at one moment may exceed it together */
  constructor (limit: number, load: (digest: Digest, arrival: number) => Promise<CompiledPrompt>) {
    this.#limit = limit
    this.#load = load
  }

  get size (): number { return this.#entries.size }
  get bytes (): number { return this.#bytes }

  /**
   * The prompt, loaded at most once however many ask at the same time. A failed load is not remembered.
   * @param arrival whose turn it is when the prompt must be compiled
   */
  async acquire (digest: Digest, arrival: number): Promise<PinnedPrompt> {
    const entry = this.#entries.get(digest) ?? await this.#loadOnce(digest, arrival)
    entry.pins++
    this.#touch(digest, entry)
    let held = true
    return {
      prompt: entry.prompt,
      release: () => {
        if (!held) return
        held = false
        entry.pins--
        this.#evict()
      }
    }
  }

  #loadOnce (digest: Digest, arrival: number): Promise<Entry> {
    const known = this.#loading.get(digest)
    if (known !== undefined) return known
    const loading = this.#load(digest, arrival).then(prompt => ({ prompt, pins: 0 })).finally(() => this.#loading.delete(digest))
    this.#loading.set(digest, loading)
    return loading
  }

  /** Most recently used from now on; back in the cache if it was evicted between loading and use. */
  #touch (digest: Digest, entry: Entry): void {
    if (!this.#entries.delete(digest)) this.#bytes += bytesOf(entry.prompt)
    this.#entries.set(digest, entry)
    this.#evict()
  }

  #evict (): void {
    for (const [digest, entry] of this.#entries) {
      if (this.#bytes <= this.#limit) return
      if (entry.pins > 0) continue
      this.#entries.delete(digest)
      this.#bytes -= bytesOf(entry.prompt)
    }
  }
}
