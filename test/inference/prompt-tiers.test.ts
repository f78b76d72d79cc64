/** Store, embeddings and compiled prefixes behind real requests to a real engine. */
import assert from 'node:assert/strict'
import { after, before, suite, test } from 'node:test'
import { Registry } from 'prom-client'
import type { Digest } from '../../src/digest.js'
import { measureReplicas } from '../../src/inference/client-metrics.js'
import { SERVING_FORMATS } from '../../src/model/base.js'
import type { Method } from '../../src/prompt/methods.js'
import { seededNumbers } from '../support/numbers.js'
import { tinyBase, type TestBase } from './tiny-base.js'
import { classification, collect, generate, promptFiles, tinyService, type TestService, untimed } from './tiny-service.js'

suite('prompt tiers', () => {
  let tiny: TestBase
  before(async () => { tiny = await tinyBase() })
  after(async () => { await tiny.dispose() })

  const publish = (service: TestService, method: Method, seed: number): Digest => service.artifacts.put(promptFiles(tiny.base, { method, virtualTokens: 4, labelTokens: [5, 9], value: seededNumbers(seed) }))

  test('a thousand first requests for one cold prompt read it once and compile it once', async () => {
    const service = await tinyService(tiny.base, { maxWaiting: 1000 })
    try {
      const prompt = publish(service, 'prompt-tuning', 1)
      const answers = await Promise.all(Array.from({ length: 1000 }, () => collect(service, classification([1, 2], prompt))))
      assert.equal(new Set(answers.map(events => JSON.stringify(untimed(events)))).size, 1)
      assert.equal(service.artifacts.gets, 1)
      const { promptCompilesTotal, promptTokensPrefilledTotal, promptMissesTotal } = service.service.status()
      assert.deepEqual({ promptCompilesTotal, promptTokensPrefilledTotal, promptMissesTotal }, { promptCompilesTotal: 1, promptTokensPrefilledTotal: 4, promptMissesTotal: 1000 })
    } finally {
      await service.stop(0)
    }
  })

  for (const format of SERVING_FORMATS) {
    test(`${format}: an evicted prefix is compiled again from its embeddings, to the same answer, without the store`, async () => {
      // One byte: whatever is not in use is evicted.
      const service = await tinyService(tiny.base, { format, promptCacheBytes: 1 })
      try {
        const prompts = [1, 2, 3].map(seed => publish(service, 'prompt-tuning', seed))
        const ask = async (): Promise<unknown[]> => {
          const answers = []
          for (const prompt of prompts) answers.push(untimed(await collect(service, classification([3, 4], prompt))), untimed(await collect(service, generate([3, 4], { prompt }))))
          return answers
        }
        const first = await ask()
        assert.equal(service.artifacts.gets, 3)
        assert.deepEqual(await ask(), first)
        assert.equal(service.artifacts.gets, 3)
        const { promptsCached, promptEmbeddings, promptCompilesTotal } = service.service.status()
        assert.deepEqual({ promptsCached, promptEmbeddings, promptCompilesTotal }, { promptsCached: 0, promptEmbeddings: 3, promptCompilesTotal: 12 })
      } finally {
        await service.stop(0)
      }
    })
  }

  test('a prompt that fits neither tier is read for each request, to the same answer', async () => {
    const service = await tinyService(tiny.base, { promptCacheBytes: 1, promptEmbeddingBytes: 1 })
    try {
      const prompt = publish(service, 'prompt-tuning', 1)
      const first = untimed(await collect(service, classification([3, 4], prompt)))
      assert.deepEqual(untimed(await collect(service, classification([3, 4], prompt))), first)
      const { promptsCached, promptCacheBytes, promptEmbeddings, promptEmbeddingBytes } = service.service.status()
      assert.deepEqual({ gets: service.artifacts.gets, promptsCached, promptCacheBytes, promptEmbeddings, promptEmbeddingBytes }, { gets: 2, promptsCached: 0, promptCacheBytes: 0, promptEmbeddings: 0, promptEmbeddingBytes: 0 })
    } finally {
      await service.stop(0)
    }
  })

  test('no virtual token of a warm prompt goes through the model; metrics tell', async () => {
    const service = await tinyService(tiny.base)
    try {
      const registry = new Registry()
      measureReplicas(registry, () => [{ status: service.service.status() }])
      const metric = async (name: string): Promise<number> => Number(new RegExp(`^permafrost_inference_${name} (\\S+)$`, 'm').exec(await registry.metrics())?.[1])
      const prompts = [publish(service, 'prompt-tuning', 1), publish(service, 'prefix-tuning', 2)]
      for (const prompt of prompts) await collect(service, classification([1, 2], prompt))
      assert.equal(await metric('prompt_tokens_prefilled_total'), 4)
      for (const prompt of [...prompts, ...prompts]) await collect(service, generate([1, 2], { prompt }))
      assert.deepEqual({
        prefilled: await metric('prompt_tokens_prefilled_total'), compiles: await metric('prompt_compiles_total'),
        hits: await metric('prompt_hits_total'), misses: await metric('prompt_misses_total'),
        embeddingHits: await metric('prompt_embedding_hits_total'), embeddingMisses: await metric('prompt_embedding_misses_total'),
        cached: await metric('prompts_cached'), embeddings: await metric('prompt_embeddings')
      }, { prefilled: 4, compiles: 1, hits: 4, misses: 2, embeddingHits: 0, embeddingMisses: 2, cached: 2, embeddings: 1 })
      assert.ok(await metric('prompt_cache_bytes') > await metric('prompt_embedding_bytes'))
      assert.ok(await metric('prompt_embedding_bytes') > 0)
    } finally {
      await service.stop(0)
    }
  })

  test('a running sequence goes on while cold prompts are loaded and compiled', async () => {
    const service = await tinyService(tiny.base, { slots: 2, maxWaiting: 200 })
    try {
      const alone = untimed(await collect(service, generate([1, 2], { maxTokens: 300 })))
      let compiledAtEnd = -1
      const running = collect(service, generate([1, 2], { maxTokens: 300 })).then(events => {
        compiledAtEnd = service.service.status().promptCompilesTotal
        return untimed(events)
      })
      const cold = Array.from({ length: 20 }, (_, seed) => collect(service, classification([1, 2], publish(service, 'prompt-tuning', seed))))
      assert.deepEqual(await running, alone)
      assert.equal(compiledAtEnd, 20)
      await Promise.all(cold)
    } finally {
      await service.stop(0)
    }
  })
})
