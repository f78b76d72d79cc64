/**
 * The prompts that are in memory, in two tiers, each within its bound of bytes: compiled prefixes, ready to be copied
 * into a slot; and embeddings, twenty times smaller, from which a prefix that was evicted is compiled again without
 * asking the store. Both are filled by requests and announcements: what else lies in the store may be of another base or
 * long superseded, and only the registry, which this process does not read, could tell.
 *
 * Prefix tuning learns the keys and values themselves, so its prompts live in the upper tier alone, and come from the
 * store again when they were evicted: that takes less time than a compilation.
 *
 * Behind a prompt may stand the fixed tokens with which a template begins, as a prefix of its own in the upper tier. It is
 * found by the prompt's digest and these ids together, so only requests to the very same numbers share it; and such
 * prefixes have at most half of the tier, however many and long templates there are.
 */
import { type Digest, digestOf } from '../digest.js'
import { BoundedCache, type Pinned } from './bounded-cache.js'
import { bytesOfCompiled, bytesOfEmbeddings, type CompiledPrompt, type PromptEmbeddings } from './compiled-prompt.js'
import type { PromptCounts } from './protocol.js'
import { SingleFlight } from './single-flight.js'

/** Steps run in the same small pool of threads as file reads: many cold prompts must not stand in a step's way. */
const LOADS_AT_ONCE = 2

/** In use by a request. */
export type PinnedPrompt = Pinned<CompiledPrompt>

/** With which every input of a task begins. */
export interface FixedTokens {
  /** [F], at least one. */
  readonly ids: readonly number[]
  /** Called with the prompt before they are run behind it; what it throws ends the request. */
  readonly check: (prompt: CompiledPrompt) => void
}

export interface PromptCacheOptions {
  /** Bytes of compiled prompts. */
  readonly compiledBytes: number
  /** Bytes of embeddings. */
  readonly embeddingBytes: number
  /** Bytes of the prefix of that many virtual tokens. */
  readonly prefixBytes: (virtualTokens: number) => number
  /** From the store; what is left to compute of it is `compile`. */
  readonly load: (digest: Digest) => Promise<PromptEmbeddings | CompiledPrompt>
  /** Embeddings [P, hidden] -> keys and values, when it is the turn of `arrival`, as `StepLoop.compile`. */
  readonly compile: (embeddings: Float32Array, arrival: number) => Promise<Float32Array>
  /** Ids [F] behind a prompt -> keys and values of both, as `StepLoop.extend`. */
  readonly extend: (prompt: CompiledPrompt, ids: readonly number[], arrival: number) => Promise<Float32Array>
}

export class PromptCache {
  readonly #options: PromptCacheOptions
  readonly #compiled: BoundedCache<CompiledPrompt>
  readonly #embeddings: BoundedCache<PromptEmbeddings>
  readonly #loading = new SingleFlight<PromptEmbeddings | CompiledPrompt>(LOADS_AT_ONCE)
  readonly #making = new SingleFlight<CompiledPrompt>(Infinity)
  #hits = 0
  #misses = 0
  #embeddingHits = 0
  #embeddingMisses = 0
  #compiles = 0
  #tokensPrefilled = 0
  #fixedPrefilled = 0
  #fixedReused = 0

  constructor (options: PromptCacheOptions) {
    this.#options = options
    this.#compiled = new BoundedCache(options.compiledBytes, bytesOfCompiled, ({ fixedTokens }) => fixedTokens > 0)
    this.#embeddings = new BoundedCache(options.embeddingBytes, bytesOfEmbeddings)
  }

  get counts (): PromptCounts {
    return {
      promptsCached: this.#compiled.size,
      promptCacheBytes: this.#compiled.bytes,
      promptEmbeddings: this.#embeddings.size,
      promptEmbeddingBytes: this.#embeddings.bytes,
      promptHitsTotal: this.#hits,
      promptMissesTotal: this.#misses,
      promptEmbeddingHitsTotal: this.#embeddingHits,
      promptEmbeddingMissesTotal: this.#embeddingMisses,
      promptCompilesTotal: this.#compiles,
      promptTokensPrefilledTotal: this.#tokensPrefilled,
      fixedTokensPrefilledTotal: this.#fixedPrefilled,
      fixedTokensReusedTotal: this.#fixedReused
    }
  }

  /**
   * The prompt, loaded and compiled at most once however many ask at the same time. A failure is not remembered.
   * @param arrival whose turn it is when the prompt must be compiled
   */
  async acquire (digest: Digest, arrival: number): Promise<PinnedPrompt> {
    return this.#warm(digest) ?? await this.#cold(digest, arrival)
  }

  /** As `acquire`, with fixed tokens behind the prompt. @throws what `fixed.check` says */
  async acquireWith (digest: Digest, { ids, check }: FixedTokens, arrival: number): Promise<PinnedPrompt> {
    const key = digestOf(`${digest} ${ids.join(' ')}`)
    const warm = this.#warm(key)
    if (warm !== null) {
      this.#fixedReused += ids.length
      return warm
    }
    const prompt = this.#compiled.pin(digest) ?? await this.#cold(digest, arrival)
    try {
      check(prompt.value)
      let runs = false
      const made = await this.#making.run(key, async () => {
        runs = true
        return await this.#extended(prompt.value, ids, arrival)
      })
      if (!runs) this.#fixedReused += ids.length
      return this.#compiled.add(key, made)
    } finally {
      prompt.release()
    }
  }

  /** All of them or none, each with the fixed tokens behind it. @param arrival as in `acquire` */
  async acquireAll (digests: readonly Digest[], fixed: FixedTokens | null, arrival: number): Promise<PinnedPrompt[]> {
    const settled = await Promise.allSettled(digests.map(digest => fixed === null ? this.acquire(digest, arrival) : this.acquireWith(digest, fixed, arrival)))
    const pinned = settled.flatMap(each => each.status === 'fulfilled' ? [each.value] : [])
    const failed = settled.find(each => each.status === 'rejected')
    if (failed === undefined) return pinned
    for (const prompt of pinned) prompt.release()
    throw failed.reason
  }

  /** Before anyone asks for it: its embeddings, and compiled as well where that evicts nothing. */
  async preload (digest: Digest, arrival: number): Promise<void> {
    if (this.#compiled.has(digest)) return
    const loaded = await this.#loaded(digest)
    if (!this.#compiled.hasRoom(this.#options.prefixBytes(loaded.virtualTokens))) return
    this.#compiled.add(digest, await this.#making.run(digest, async () => await this.#made(loaded, arrival))).release()
  }

  #warm (key: Digest): PinnedPrompt | null {
    const warm = this.#compiled.pin(key)
    if (warm === null) this.#misses++
    else this.#hits++
    return warm
  }

  async #cold (digest: Digest, arrival: number): Promise<PinnedPrompt> {
    return this.#compiled.add(digest, await this.#making.run(digest, async () => await this.#made(await this.#loaded(digest), arrival)))
  }

  async #loaded (digest: Digest): Promise<PromptEmbeddings | CompiledPrompt> {
    const known = this.#embeddings.pin(digest)
    if (known !== null) {
      this.#embeddingHits++
      known.release()
      return known.value
    }
    this.#embeddingMisses++
    return await this.#loading.run(digest, async () => {
      const loaded = await this.#options.load(digest)
      if ('embeddings' in loaded) this.#embeddings.add(digest, loaded).release()
      return loaded
    })
  }

  async #made (loaded: PromptEmbeddings | CompiledPrompt, arrival: number): Promise<CompiledPrompt> {
    if ('prefix' in loaded) return loaded
    const { digest, virtualTokens, labels, embeddings } = loaded
    const prefix = await this.#options.compile(embeddings, arrival)
    this.#compiles++
    this.#tokensPrefilled += virtualTokens
    return { digest, virtualTokens, labels, fixedTokens: 0, prefix }
  }

  async #extended (prompt: CompiledPrompt, fixedIds: readonly number[], arrival: number): Promise<CompiledPrompt> {
    const prefix = await this.#options.extend(prompt, fixedIds, arrival)
    this.#fixedPrefilled += fixedIds.length
    return { ...prompt, fixedTokens: fixedIds.length, prefix }
  }
}
