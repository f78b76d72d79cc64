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
 *
 * What requests wait with cannot be evicted, so it has to fit the bound before it is compiled (`admission-by-memory.ts`).
 * One compilation comes into memory at a time, and embeddings on their way to one are a small part of its prefix.
 */
import { type Digest, digestOf } from '../digest.js'
import { bytesHeld, hold, type Hold, type PromptMemory } from './admission-by-memory.js'
import { BoundedCache, type Pinned } from './bounded-cache.js'
import { bytesOfCompiled, bytesOfEmbeddings, bytesOfParts, type CompiledPrompt, type PromptEmbeddings } from './compiled-prompt.js'
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

/** The request that needs a prompt. */
export type Asker = Pick<Hold, 'arrival' | 'tenant'>

/** What a prefix is made of. */
interface Found {
  readonly prompt: PromptEmbeddings | CompiledPrompt
  /** Its embeddings were in memory. */
  readonly kept: boolean
}

export interface PromptCacheOptions {
  /** Rows that can run at once. */
  readonly slots: number
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
  readonly #memory: PromptMemory
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
    this.#memory = { limit: options.compiledBytes, slots: options.slots, holds: new Set() }
    this.#compiled = new BoundedCache(options.compiledBytes, bytesOfCompiled, ({ fixedTokens }) => fixedTokens > 0)
    this.#embeddings = new BoundedCache(options.embeddingBytes, bytesOfEmbeddings)
  }

  get counts (): PromptCounts {
    return {
      promptsCached: this.#compiled.size,
      promptCacheBytes: this.#compiled.bytes,
      promptBytesInUse: bytesHeld(this.#memory),
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
   * @param asker whose turn it is when the prompt must be compiled, and who holds it
   * @throws ServiceError `saturated`, or what loading says
   */
  async acquire (digest: Digest, asker: Asker): Promise<PinnedPrompt> {
    return this.#warm(digest, asker) ?? await this.#cold(digest, asker)
  }

  /** As `acquire`, with fixed tokens behind the prompt. @throws what `fixed.check` says */
  async acquireWith (digest: Digest, { ids, check }: FixedTokens, asker: Asker): Promise<PinnedPrompt> {
    const key = digestOf(`${digest} ${ids.join(' ')}`)
    const warm = this.#warm(key, asker)
    if (warm !== null) {
      this.#fixedReused += ids.length
      return warm
    }
    const prompt = this.#held(digest, asker) ?? await this.#cold(digest, asker)
    try {
      check(prompt.value)
      let runs = false
      const made = await this.#makeFor(asker, key, this.#bytesOf(prompt.value, ids.length), async () => {
        runs = true
        return await this.#extended(prompt.value, ids, asker.arrival)
      })
      if (!runs) this.#fixedReused += ids.length
      return made
    } finally {
      prompt.release()
    }
  }

  /** All of them or none, each with the fixed tokens behind it. @param asker as in `acquire` */
  async acquireAll (digests: readonly Digest[], fixed: FixedTokens | null, asker: Asker): Promise<PinnedPrompt[]> {
    const settled = await Promise.allSettled(digests.map(digest => fixed === null ? this.acquire(digest, asker) : this.acquireWith(digest, fixed, asker)))
    const pinned = settled.flatMap(each => each.status === 'fulfilled' ? [each.value] : [])
    const failed = settled.find(each => each.status === 'rejected')
    if (failed === undefined) return pinned
    for (const prompt of pinned) prompt.release()
    throw failed.reason
  }

  /** Before anyone asks for it: its embeddings, and compiled as well where that evicts nothing. */
  async preload (digest: Digest, arrival: number): Promise<void> {
    if (this.#compiled.has(digest)) return
    const found = await this.#found(digest)
    if (!this.#compiled.hasRoom(this.#bytesOf(found.prompt, 0))) return
    this.#compiled.add(digest, await this.#making.run(digest, async () => await this.#made(found, arrival))).release()
  }

  #warm (key: Digest, asker: Asker): PinnedPrompt | null {
    const warm = this.#held(key, asker)
    if (warm === null) this.#misses++
    else this.#hits++
    return warm
  }

  /** Null when it is not in memory. @throws ServiceError `saturated` */
  #held (key: Digest, asker: Asker): PinnedPrompt | null {
    const pinned = this.#compiled.pin(key)
    if (pinned === null) return null
    try {
      return withHold(pinned, this.#hold(asker, key, bytesOfCompiled(pinned.value)))
    } catch (error) {
      pinned.release()
      throw error
    }
  }

  async #cold (digest: Digest, asker: Asker): Promise<PinnedPrompt> {
    const found = await this.#found(digest)
    return await this.#makeFor(asker, digest, this.#bytesOf(found.prompt, 0), async () => await this.#made(found, asker.arrival))
  }

  /** Held before it is made. @throws ServiceError `saturated` */
  async #makeFor (asker: Asker, key: Digest, bytes: number, make: () => Promise<CompiledPrompt>): Promise<PinnedPrompt> {
    const letGo = this.#hold(asker, key, bytes)
    try {
      return withHold(this.#compiled.add(key, await this.#making.run(key, make)), letGo)
    } catch (error) {
      letGo()
      throw error
    }
  }

  /** @throws ServiceError `saturated` */
  #hold (asker: Asker, key: Digest, bytes: number): () => void {
    const held = { ...asker, key, bytes }
    hold(this.#memory, held)
    return () => { this.#memory.holds.delete(held) }
  }

  /** Compiled, with so many fixed tokens behind it. */
  #bytesOf ({ virtualTokens, labels }: PromptEmbeddings | CompiledPrompt, fixedTokens: number): number {
    return bytesOfParts(this.#options.prefixBytes(virtualTokens + fixedTokens), labels)
  }

  async #found (digest: Digest): Promise<Found> {
    const known = this.#embeddings.pin(digest)
    if (known !== null) {
      known.release()
      return { prompt: known.value, kept: true }
    }
    const prompt = await this.#loading.run(digest, async () => {
      this.#embeddingMisses++
      const loaded = await this.#options.load(digest)
      if ('embeddings' in loaded) this.#embeddings.add(digest, loaded).release()
      return loaded
    })
    return { prompt, kept: false }
  }

  async #made ({ prompt, kept }: Found, arrival: number): Promise<CompiledPrompt> {
    if (kept) this.#embeddingHits++
    if ('prefix' in prompt) return prompt
    const { digest, virtualTokens, labels, embeddings } = prompt
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

/** Of which the hold ends with the pin. */
function withHold ({ value, release }: PinnedPrompt, letGo: () => void): PinnedPrompt {
  return {
    value,
    release: () => {
      letGo()
      release()
    }
  }
}
