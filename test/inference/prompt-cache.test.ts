/** Both tiers in front of a store and an engine that only count; `prompt-tiers.test.ts` has the real ones. */
import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { type Digest, digestOf } from '../../src/digest.js'
import { bytesOfCompiled, bytesOfEmbeddings } from '../../src/inference/compiled-prompt.js'
import { PromptCache } from '../../src/inference/prompt-cache.js'

/** Numbers of each virtual token. */
const WIDTH = 4
const PREFIX_WIDTH = 80
const TOKENS = 3

const name = (text: string): Digest => digestOf(text)
const of = (digest: Digest) => ({ digest, virtualTokens: TOKENS, labels: null })
const compiledBytes = bytesOfCompiled({ ...of(name('any')), prefix: new Float32Array(TOKENS * PREFIX_WIDTH) })
const embeddingBytes = bytesOfEmbeddings({ ...of(name('any')), embeddings: new Float32Array(TOKENS * WIDTH) })

interface Room { readonly compiled: number, readonly embeddings: number }

/** @param room prompts that fit each tier */
function counted (room: Room, method: 'prompt-tuning' | 'prefix-tuning' = 'prompt-tuning') {
  const loads: Digest[] = []
  const compiles: number[] = []
  const cache = new PromptCache({
    compiledBytes: room.compiled * compiledBytes,
    embeddingBytes: room.embeddings * embeddingBytes,
    prefixBytes: virtualTokens => virtualTokens * PREFIX_WIDTH * 4,
    load: async digest => {
      loads.push(digest)
      return method === 'prompt-tuning' ? { ...of(digest), embeddings: new Float32Array(TOKENS * WIDTH) } : { ...of(digest), prefix: new Float32Array(TOKENS * PREFIX_WIDTH) }
    },
    compile: async (embeddings, arrival) => {
      compiles.push(arrival)
      return new Float32Array(embeddings.length / WIDTH * PREFIX_WIDTH)
    }
  })
  return { cache, loads, compiles, use: async (text: string, arrival = 0) => { (await cache.acquire(name(text), arrival)).release() } }
}

suite('prompt cache', () => {
  test('loads and compiles once for all who ask at the same time, in the turn of the first, and not again', async () => {
    const { cache, loads, compiles } = counted({ compiled: 2, embeddings: 2 })
    const pinned = await Promise.all([7, 8, 9].map(arrival => cache.acquire(name('a'), arrival)))
    await cache.acquire(name('a'), 10)
    assert.equal(new Set(pinned.map(({ value }) => value)).size, 1)
    assert.equal(loads.length, 1)
    assert.deepEqual(compiles, [7])
    assert.deepEqual(cache.counts, {
      promptsCached: 1, promptCacheBytes: compiledBytes, promptEmbeddings: 1, promptEmbeddingBytes: embeddingBytes,
      promptHitsTotal: 1, promptMissesTotal: 3, promptEmbeddingHitsTotal: 0, promptEmbeddingMissesTotal: 1,
      promptCompilesTotal: 1, promptTokensPrefilledTotal: TOKENS
    })
  })

  test('what was evicted is compiled again without the store, as long as its embeddings are there', async () => {
    const { cache, loads, compiles, use } = counted({ compiled: 1, embeddings: 2 })
    for (const text of ['a', 'b', 'a', 'b']) await use(text)
    assert.deepEqual([loads.length, compiles.length], [2, 4])
    const { promptsCached, promptEmbeddings, promptEmbeddingHitsTotal } = cache.counts
    assert.deepEqual({ promptsCached, promptEmbeddings, promptEmbeddingHitsTotal }, { promptsCached: 1, promptEmbeddings: 2, promptEmbeddingHitsTotal: 2 })
    // The third pushes out the embeddings least recently needed, a's.
    for (const text of ['c', 'b']) await use(text)
    assert.equal(loads.length, 3)
    await use('a')
    assert.equal(loads.length, 4)
  })

  test('a prefix that was learned takes no place among embeddings, and comes from the store again', async () => {
    const { cache, loads, compiles, use } = counted({ compiled: 1, embeddings: 2 }, 'prefix-tuning')
    for (const text of ['a', 'b', 'a']) await use(text)
    assert.deepEqual([loads.length, compiles.length], [3, 0])
    const { promptEmbeddings, promptEmbeddingBytes, promptTokensPrefilledTotal } = cache.counts
    assert.deepEqual({ promptEmbeddings, promptEmbeddingBytes, promptTokensPrefilledTotal }, { promptEmbeddings: 0, promptEmbeddingBytes: 0, promptTokensPrefilledTotal: 0 })
  })

  test('preloading compiles while there is room, and then keeps embeddings only', async () => {
    const { cache, loads, compiles } = counted({ compiled: 1, embeddings: 3 })
    for (const text of ['a', 'b']) await cache.preload(name(text), 0)
    assert.deepEqual([loads.length, compiles.length], [2, 1])
    await cache.preload(name('a'), 0)
    await cache.acquire(name('a'), 0)
    assert.deepEqual([loads.length, compiles.length], [2, 1])
    const { promptHitsTotal, promptMissesTotal, promptEmbeddings } = cache.counts
    assert.deepEqual({ promptHitsTotal, promptMissesTotal, promptEmbeddings }, { promptHitsTotal: 1, promptMissesTotal: 0, promptEmbeddings: 2 })
    await cache.acquire(name('b'), 0)
    assert.deepEqual([loads.length, compiles.length], [2, 2])
  })

  test('preloading a learned prefix reads it once', async () => {
    const { cache, loads, use } = counted({ compiled: 1, embeddings: 1 }, 'prefix-tuning')
    await cache.preload(name('a'), 0)
    await use('a')
    assert.equal(loads.length, 1)
  })

  test('a prompt of which a compilation failed is tried again, from its embeddings', async () => {
    let attempts = 0
    let loads = 0
    const cache = new PromptCache({
      compiledBytes: 1e6, embeddingBytes: 1e6, prefixBytes: () => 0,
      load: async digest => { loads++; return { ...of(digest), embeddings: new Float32Array(TOKENS * WIDTH) } },
      compile: async () => {
        if (++attempts === 1) throw new Error('out of memory')
        return new Float32Array(TOKENS * PREFIX_WIDTH)
      }
    })
    await assert.rejects(cache.acquire(name('a'), 0), /out of memory/)
    await cache.acquire(name('a'), 1)
    assert.deepEqual([attempts, loads, cache.counts.promptCompilesTotal], [2, 1, 1])
  })
})
