/** What a request gets must not depend on its company, not in one bit. */
import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { StockEngine } from '../../src/inference/engine/stock.js'
import { CApiEngine } from '../../src/inference/engine/c-api.js'
import type { ServingFormat } from '../../src/model/base.js'
import { seededNumbers } from '../support/numbers.js'
import { publishTasks, requestsTo, runAlone, runMixes } from './mixes.js'
import { tinyBase } from './tiny-base.js'
import { classification, collect, generate, promptFiles, tinyService, untimed } from './tiny-service.js'

const IN_FLIGHT = 8

function isolation (mixes: number, format: ServingFormat, headSize: number, engine: typeof CApiEngine.open | typeof StockEngine.open, numKvHeads = 2): void {
  test(`${mixes} random mixes of ${IN_FLIGHT} requests: ${format}, head size ${headSize}, ${numKvHeads} of keys, ${engine === CApiEngine.open ? 'C API' : 'stock'}`, async () => {
    const { base, dispose } = await tinyBase({ headSize, numKvHeads, hiddenSize: 4 * headSize, contextLength: 640 })
    // Fewer slots than requests, and room for about half of the prompts: rows move and prompts are compiled while others decode.
    const service = await tinyService(base, { format, slots: IN_FLIGHT - 2, promptCacheBytes: 60_000 }, engine)
    try {
      const random = seededNumbers(headSize)
      const below = (limit: number): number => Math.floor((random() + 1) / 2 * limit)
      const tasks = publishTasks(service.artifacts, base, [1, 2, 7, 20], { value: random, labelValue: random })
      const lengths = [1, 2, 3, 5, 8, 13, 21, 34, 60, 257, 300]
      const pool = await runAlone(service, requestsTo(tasks, 120, {
        input: index => Array.from({ length: lengths[below(index % 10 === 0 ? lengths.length : lengths.length - 2)]! }, () => below(340)),
        maxTokens: () => 1 + below(10),
        stopTokenIds: () => [below(340)]
      }))
      for await (const { mix, answers } of runMixes(service, pool, { mixes, inFlight: IN_FLIGHT, below })) {
        for (const { known, events, same } of answers) if (!same) assert.deepEqual(untimed(events), known.alone, `mix ${mix}, ${JSON.stringify(known.request)}`)
      }
      const { running, packedInputsTotal } = service.service.status()
      assert.equal(running, 0)
      const packs = format === 'w8a8' && headSize === 16 && engine === CApiEngine.open
      if (packs) assert.ok(packedInputsTotal > mixes, `${packedInputsTotal} inputs were packed`)
      else assert.equal(packedInputsTotal, 0)
    } finally {
      await service.stop(0)
      await dispose()
    }
  })
}

suite('isolation of requests', () => {
  isolation(500, 'w8a8', 16, CApiEngine.open)
  isolation(200, 'float32', 16, CApiEngine.open)
  isolation(200, 'w8a8', 12, CApiEngine.open)
  isolation(200, 'float32', 12, CApiEngine.open)
  isolation(100, 'float32', 12, CApiEngine.open, 1)
  isolation(20, 'w8a8', 16, StockEngine.open)

  for (const headSize of [16, 12]) {
    test(`numbers that are not finite stay in their own request, head size ${headSize}`, async () => {
      const { base, dispose } = await tinyBase({ headSize, hiddenSize: 4 * headSize })
      const service = await tinyService(base, { slots: 3 })
      try {
        const random = seededNumbers(3)
        // Finite in the artifact, beyond float32 in the attention.
        const wild = service.artifacts.put(promptFiles(base, { method: 'prefix-tuning', virtualTokens: 5, value: index => index % 2 === 0 ? 3e38 : -3e38 }))
        const tame = service.artifacts.put(promptFiles(base, { method: 'prefix-tuning', virtualTokens: 3, labelTokens: [5, 9], value: random }))
        const requests = [generate([1, 2, 3, 4, 5, 6, 7], { maxTokens: 20 }), classification([4, 5], tame), generate([9], { prompt: tame, maxTokens: 20 })]
        const alone = []
        for (const request of requests) alone.push(untimed(await collect(service, request)))
        // In the slot that the overflow has just left, longer than what comes next.
        for (const [index, request] of requests.entries()) {
          await collect(service, generate([1, 2, 3, 4, 5, 6, 7, 8, 9], { prompt: wild }))
          assert.deepEqual(untimed(await collect(service, request)), alone[index])
        }
        for (let round = 0; round < 5; round++) {
          const all = [generate([1, 2, 3], { prompt: wild }), ...requests, generate([1], { prompt: wild })].map(request => collect(service, request))
          const [first, ...others] = await Promise.all(all)
          assert.deepEqual(first!.at(-1), { type: 'failed', code: 'not_finite', message: 'the scores of this prompt are not finite numbers' })
          assert.deepEqual(others.slice(0, 3).map(untimed), alone)
        }
      } finally {
        await service.stop(0)
        await dispose()
      }
    })
  }

})
