import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { digestOf, type Digest } from '../../src/digest.js'
import type { CompiledPrompt } from '../../src/inference/compiled-prompt.js'
import { PromptCache } from '../../src/inference/prompt-cache.js'

const name = (text: string): Digest => digestOf(text)
const prompt = (digest: Digest, bytes: number): CompiledPrompt => ({ digest, virtualTokens: 1, prefix: new Float32Array(bytes / 4), labels: null })

function counted (limit: number, bytes = 40): { cache: PromptCache, loads: Digest[] } {
  const loads: Digest[] = []
  return { loads, cache: new PromptCache(limit, async digest => { loads.push(digest); return prompt(digest, bytes) }) }
}

suite('prompt cache', () => {
  test('loads once for all who ask at the same time, and not again', async () => {
    const { cache, loads } = counted(100)
    const pinned = await Promise.all([1, 2, 3].map(arrival => cache.acquire(name('a'), arrival)))
    await cache.acquire(name('a'), 4)
    assert.equal(loads.length, 1)
    assert.equal(new Set(pinned.map(({ prompt }) => prompt)).size, 1)
    assert.deepEqual([cache.size, cache.bytes], [1, 40])
  })

  test('the least recently used prompt goes when the bytes are used up', async () => {
    const { cache, loads } = counted(100)
    for (const each of ['a', 'b', 'a', 'c']) (await cache.acquire(name(each), 0)).release()
    assert.deepEqual([cache.size, cache.bytes], [2, 80])
    ;(await cache.acquire(name('a'), 0)).release()
    assert.equal(loads.length, 3)
    ;(await cache.acquire(name('b'), 0)).release()
    assert.equal(loads.length, 4)
  })

  test('a prompt in use stays, and goes when it is released', async () => {
    const { cache, loads } = counted(50)
    const a = await cache.acquire(name('a'), 0)
    const b = await cache.acquire(name('b'), 0)
    assert.deepEqual([cache.size, cache.bytes], [2, 80])
    a.release()
    a.release()
    assert.deepEqual([cache.size, cache.bytes], [1, 40])
    await cache.acquire(name('b'), 0)
    assert.equal(loads.length, 2)
    b.release()
    assert.equal(cache.size, 1)
  })

  test('a prompt larger than the cache is served and not kept', async () => {
    const { cache } = counted(20)
    const pinned = await cache.acquire(name('a'), 0)
    assert.equal(pinned.prompt.prefix.byteLength, 40)
    pinned.release()
    assert.deepEqual([cache.size, cache.bytes], [0, 0])
  })

  test('a failed load reaches everyone who waits and is tried again', async () => {
    let attempts = 0
    const cache = new PromptCache(100, async digest => {
      if (++attempts === 1) throw new Error('disk')
      return prompt(digest, 40)
    })
    const results = await Promise.allSettled([cache.acquire(name('a'), 0), cache.acquire(name('a'), 1)])
    assert.deepEqual(results.map(({ status }) => status), ['rejected', 'rejected'])
    await cache.acquire(name('a'), 2)
    assert.equal(attempts, 2)
  })
})
