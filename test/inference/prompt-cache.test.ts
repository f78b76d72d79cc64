/** Both tiers in front of a store and an engine that only count; `prompt-tiers.test.ts` has the real ones. */
import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { type Digest, digestOf } from '../../src/digest.js'
import type { ServiceError } from '../../src/errors.js'
import { bytesOfCompiled, bytesOfEmbeddings } from '../../src/inference/compiled-prompt.js'
import { type Asker, type PinnedPrompt, PromptCache } from '../../src/inference/prompt-cache.js'

/** Numbers of each virtual token. */
const WIDTH = 4
const PREFIX_WIDTH = 80
const TOKENS = 3

const name = (text: string): Digest => digestOf(text)
const by = (arrival: number, tenant = 't'): Asker => ({ arrival, tenant })
const of = (digest: Digest) => ({ digest, virtualTokens: TOKENS, fixedTokens: 0, labels: null })
const compiledBytes = bytesOfCompiled({ ...of(name('any')), prefix: new Float32Array(TOKENS * PREFIX_WIDTH) })
const embeddingBytes = bytesOfEmbeddings({ ...of(name('any')), embeddings: new Float32Array(TOKENS * WIDTH) })

interface Room { readonly compiled: number, readonly embeddings: number }

/** @param room prompts that fit each tier */
function counted (room: Room, method: 'prompt-tuning' | 'prefix-tuning' = 'prompt-tuning') {
  const loads: Digest[] = []
  const compiles: number[] = []
  const extensions: Array<{ digest: Digest, ids: readonly number[], arrival: number }> = []
  const cache = new PromptCache({
    slots: 2, compiledBytes: room.compiled * compiledBytes,
    embeddingBytes: room.embeddings * embeddingBytes,
    prefixBytes: virtualTokens => virtualTokens * PREFIX_WIDTH * 4,
    load: async digest => {
      loads.push(digest)
      return method === 'prompt-tuning' ? { ...of(digest), embeddings: new Float32Array(TOKENS * WIDTH) } : { ...of(digest), prefix: new Float32Array(TOKENS * PREFIX_WIDTH) }
    },
    compile: async (embeddings, arrival) => {
      compiles.push(arrival)
      return new Float32Array(embeddings.length / WIDTH * PREFIX_WIDTH)
    },
    extend: async ({ digest, virtualTokens }, ids, arrival) => {
      extensions.push({ digest, ids, arrival })
      return new Float32Array((virtualTokens + ids.length) * PREFIX_WIDTH)
    }
  })
  return {
    cache, loads, compiles, extensions,
    use: async (text: string, arrival = 0) => { (await cache.acquire(name(text), by(arrival))).release() },
    useWith: async (text: string, ids: readonly number[]) => { (await cache.acquireWith(name(text), { ids, check: () => {} }, by(0))).release() }
  }
}

suite('prompt cache', () => {
  test('loads and compiles once for all who ask at the same time, in the turn of the first, and not again', async () => {
    const { cache, loads, compiles } = counted({ compiled: 2, embeddings: 2 })
    const pinned = await Promise.all([7, 8, 9].map(arrival => cache.acquire(name('a'), by(arrival))))
    await cache.acquire(name('a'), by(10))
    assert.equal(new Set(pinned.map(({ value }) => value)).size, 1)
    assert.equal(loads.length, 1)
    assert.deepEqual(compiles, [7])
    assert.deepEqual(cache.counts, {
      promptsCached: 1, promptCacheBytes: compiledBytes, promptBytesInUse: compiledBytes, promptEmbeddings: 1, promptEmbeddingBytes: embeddingBytes,
      promptHitsTotal: 1, promptMissesTotal: 3, promptEmbeddingHitsTotal: 0, promptEmbeddingMissesTotal: 1,
      promptCompilesTotal: 1, promptTokensPrefilledTotal: TOKENS, fixedTokensPrefilledTotal: 0, fixedTokensReusedTotal: 0
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
    await cache.acquire(name('a'), by(0))
    assert.deepEqual([loads.length, compiles.length], [2, 1])
    const { promptHitsTotal, promptMissesTotal, promptEmbeddings } = cache.counts
    assert.deepEqual({ promptHitsTotal, promptMissesTotal, promptEmbeddings }, { promptHitsTotal: 1, promptMissesTotal: 0, promptEmbeddings: 2 })
    await cache.acquire(name('b'), by(0))
    assert.deepEqual([loads.length, compiles.length], [2, 2])
  })

  test('preloading a learned prefix reads it once', async () => {
    const { cache, loads, use } = counted({ compiled: 1, embeddings: 1 }, 'prefix-tuning')
    await cache.preload(name('a'), 0)
    await use('a')
    assert.equal(loads.length, 1)
  })

  test('fixed tokens run behind a prompt once for all who ask at the same time, in the turn of the first, and not again', async () => {
    const { cache, compiles, extensions } = counted({ compiled: 4, embeddings: 1 })
    const pinned = await Promise.all([7, 8, 9].map(arrival => cache.acquireWith(name('a'), { ids: [1, 2], check: () => {} }, by(arrival))))
    await cache.acquireWith(name('a'), { ids: [1, 2], check: () => assert.fail('it is there') }, by(10))
    const [{ value }] = pinned as [PinnedPrompt]
    assert.equal(new Set(pinned.map(one => one.value)).size, 1)
    assert.deepEqual([value.virtualTokens, value.fixedTokens, value.prefix.length], [TOKENS, 2, (TOKENS + 2) * PREFIX_WIDTH])
    assert.deepEqual([compiles, extensions], [[7], [{ digest: name('a'), ids: [1, 2], arrival: 7 }]])
    const { promptsCached, promptHitsTotal, promptMissesTotal, fixedTokensPrefilledTotal, fixedTokensReusedTotal } = cache.counts
    assert.deepEqual({ promptsCached, promptHitsTotal, promptMissesTotal, fixedTokensPrefilledTotal, fixedTokensReusedTotal }, {
      promptsCached: 2, promptHitsTotal: 1, promptMissesTotal: 3, fixedTokensPrefilledTotal: 2, fixedTokensReusedTotal: 3 * 2
    })
  })

  test('one prefix for each prompt and beginning', async () => {
    const { compiles, extensions, useWith } = counted({ compiled: 100, embeddings: 2 })
    const beginnings = [[1, 2], [1, 2, 3], [12], [1, 3]]
    for (let round = 0; round < 2; round++) for (const text of ['a', 'b']) for (const ids of beginnings) await useWith(text, ids)
    assert.equal(compiles.length, 2)
    assert.deepEqual(extensions.map(({ digest, ids }) => [digest, ids]), ['a', 'b'].flatMap(text => beginnings.map(ids => [name(text), ids])))
  })

  test('what a check says of the prompt comes before the run', async () => {
    const { cache, extensions, useWith } = counted({ compiled: 4, embeddings: 1 })
    await assert.rejects(cache.acquireWith(name('a'), { ids: [1], check: ({ virtualTokens }) => { throw new Error(`behind ${virtualTokens}`) } }, by(0)), /behind 3/)
    assert.deepEqual(extensions, [])
    await useWith('a', [1])
    assert.equal(extensions.length, 1)
  })

  test('a thousand beginnings leave half of the tier to prompts alone', async () => {
    const { cache, compiles, extensions, use, useWith } = counted({ compiled: 20, embeddings: 30 })
    const others = Array.from({ length: 9 }, (_, index) => `other ${index}`)
    for (const text of others) await use(text)
    for (let id = 0; id < 1000; id++) await useWith('a', [id])
    assert.equal(extensions.length, 1000)
    assert.equal(compiles.length, others.length + 1)
    for (const text of [...others, 'a']) await use(text)
    assert.equal(compiles.length, others.length + 1)
    assert.ok(cache.counts.promptCacheBytes <= 20 * compiledBytes)
    // The last ones are there.
    await useWith('a', [999])
    assert.equal(extensions.length, 1000)
  })

  test('what requests hold is bounded before it is compiled; what is refused is neither compiled nor held', async () => {
    const { cache, compiles } = counted({ compiled: 4, embeddings: 9 })
    const first = await Promise.allSettled([0, 1, 2, 3].map(arrival => cache.acquire(name(`${arrival}`), by(arrival))))
    assert.deepEqual(first.map(each => each.status === 'fulfilled' ? null : (each.reason as ServiceError).code), [null, null, 'saturated', 'saturated'])
    assert.deepEqual([compiles.length, cache.counts.promptBytesInUse], [2, 2 * compiledBytes])
    await cache.acquire(name('4'), by(4, 'other'))
    await cache.acquire(name('0'), by(5))
    assert.equal(cache.counts.promptBytesInUse, 3 * compiledBytes)
    for (const each of first) if (each.status === 'fulfilled') each.value.release()
    // One of them is in use by a second request.
    assert.equal(cache.counts.promptBytesInUse, 2 * compiledBytes)
  })

  test('a warm prompt that is refused stays in memory and may be evicted', async () => {
    const { cache, use } = counted({ compiled: 2, embeddings: 9 })
    for (const text of ['a', 'b']) await use(text)
    const held = await cache.acquire(name('a'), by(0))
    await assert.rejects(cache.acquire(name('b'), by(1)), { code: 'saturated' })
    assert.deepEqual([cache.counts.promptsCached, cache.counts.promptBytesInUse], [2, compiledBytes])
    await cache.acquire(name('c'), by(2, 'other'))
    assert.equal(cache.counts.promptCacheBytes, 2 * compiledBytes)
    held.release()
  })

  test('of an ensemble that does not fit beside others nothing is held', async () => {
    const { cache } = counted({ compiled: 4, embeddings: 9 })
    await cache.acquire(name('a'), by(0))
    await assert.rejects(cache.acquireAll([name('b'), name('c'), name('d'), name('e')], null, by(1)), { code: 'saturated' })
    assert.equal(cache.counts.promptBytesInUse, compiledBytes)
  })

  test('a prompt of which a compilation failed is tried again, from its embeddings', async () => {
    let attempts = 0
    let loads = 0
    const cache = new PromptCache({
      slots: 2, compiledBytes: 1e6, embeddingBytes: 1e6, prefixBytes: () => 0,
      load: async digest => { loads++; return { ...of(digest), embeddings: new Float32Array(TOKENS * WIDTH) } },
      extend: async () => assert.fail('nothing is fixed'),
      compile: async () => {
        if (++attempts === 1) throw new Error('out of memory')
        return new Float32Array(TOKENS * PREFIX_WIDTH)
      }
    })
    await assert.rejects(cache.acquire(name('a'), by(0)), /out of memory/)
    assert.equal(cache.counts.promptBytesInUse, 0)
    await cache.acquire(name('a'), by(1))
    assert.deepEqual([attempts, loads, cache.counts.promptCompilesTotal], [2, 1, 1])
  })
})
