/** What tenants notice of one another, with a real engine. */
import assert from 'node:assert/strict'
import { after, before, suite, test } from 'node:test'
import { ServiceError } from '../../src/errors.js'
import type { SequenceRequest } from '../../src/inference/protocol.js'
import { seededNumbers } from '../support/numbers.js'
import { tinyBase, type TestBase } from './tiny-base.js'
import { classification, collect, generate, promptFiles, type Running, submit, tinyService, untimed } from './tiny-service.js'

const of = (tenant: string, request: SequenceRequest): SequenceRequest => ({ ...request, tenant })
const tokens = (count: number, seed: number): number[] => Array.from({ length: count }, (_, i) => (i * 7 + seed * 13) % 340)

suite('tenants', () => {
  let tiny: TestBase
  before(async () => { tiny = await tinyBase() })
  after(async () => { await tiny.dispose() })

  test('a flood fills the queue for itself alone, and the few requests of another tenant go before it', async () => {
    const service = await tinyService(tiny.base, { slots: 2, maxWaiting: 40 })
    try {
      const request = (tenant: string, seed: number): SequenceRequest => of(tenant, generate(tokens(20, seed), { maxTokens: 12 }))
      const alone = []
      for (let seed = 0; seed < 4; seed++) alone.push(untimed(await collect(service, request('quiet', seed))))
      const order: string[] = []
      const follow = (tenant: string, { done }: Running): Promise<unknown> => done.then(() => order.push(tenant))
      const flood = []
      for (let seed = 0; seed < 42; seed++) flood.push(follow('noisy', await submit(service, request('noisy', seed))))
      await assert.rejects(submit(service, request('noisy', 42)), (error: unknown) => error instanceof ServiceError && error.code === 'saturated' && error.retryAfter! >= 1)
      const quiet: Running[] = []
      for (let seed = 0; seed < 4; seed++) quiet.push(await submit(service, request('quiet', seed)))
      const behind = quiet.map(running => follow('quiet', running))
      for (const [seed, { done }] of quiet.entries()) assert.deepEqual(untimed(await done), alone[seed])
      await Promise.all([...flood, ...behind])
      // Turn and turn about, and two of the flood ran before the others came.
      assert.ok(order.lastIndexOf('quiet') < 12, order.join(' '))
      assert.equal(order.length, 46)
    } finally {
      await service.stop(0)
    }
  })

  for (const headSize of [16, 12]) {
    test(`rows of a flood change places, leave their slots and come back, and all get the bits they get alone, head size ${headSize}`, async () => {
      const { base, dispose } = await tinyBase({ headSize, hiddenSize: 4 * headSize, contextLength: 640 })
      const service = await tinyService(base, { slots: 4 })
      try {
        const { arena } = service.engine
        let exchanged = 0
        let set = 0
        const { exchange, read } = arena
        arena.exchange = (...slots) => { exchanged++; exchange.apply(arena, slots) }
        arena.read = (...slot) => { set++; return read.apply(arena, slot) }
        const prompt = service.artifacts.put(promptFiles(base, { method: 'prefix-tuning', virtualTokens: 5, labelTokens: [5, 9], value: seededNumbers(headSize) }))
        const flood = Array.from({ length: 18 }, (_, seed) => of('flood', generate(tokens(seed === 3 ? 260 : 12, seed), { prompt: seed % 2 === 0 ? prompt : null, maxTokens: 30 + seed, sampling: { temperature: 0.9, seed } })))
        const quiet = [
          of('a', generate(tokens(20, 20), { prompt, maxTokens: 25 })), of('b', classification(tokens(300, 21), prompt)),
          of('a', generate(tokens(30, 22), { maxTokens: 9 })), of('b', generate(tokens(40, 23), { maxTokens: 14 }))
        ]
        const known = []
        for (const request of [...flood, ...quiet]) known.push(untimed(await collect(service, request)))
        for (let round = 0; round < 5; round++) {
          const running = []
          for (const request of flood) running.push((await submit(service, request)).done)
          while (service.service.status().running < 4) await new Promise(resolve => setImmediate(resolve))
          for (const request of quiet) running.push((await submit(service, request)).done)
          for (const [index, done] of running.entries()) assert.deepEqual(untimed(await done), known[index], `request ${index}`)
        }
        assert.ok(exchanged >= 5 && set >= 10, `${exchanged} pairs of rows changed places, ${set} left`)
      } finally {
        await service.stop(0)
        await dispose()
      }
    })

    test(`short inputs overtake a long one, and all get the bits they get alone, head size ${headSize}`, async () => {
      const { base, dispose } = await tinyBase({ headSize, hiddenSize: 4 * headSize, contextLength: 1024 })
      const service = await tinyService(base, { maxContext: 1024, slots: 6 })
      try {
        const random = seededNumbers(headSize)
        const prompt = service.artifacts.put(promptFiles(base, { method: 'prefix-tuning', virtualTokens: 5, labelTokens: [5, 9], value: random }))
        const long = of('a', generate(tokens(900, 1), { prompt, maxTokens: 8 }))
        const others = [
          of('a', generate(tokens(30, 2), { prompt, maxTokens: 3 })), of('b', classification(tokens(40, 3), prompt)),
          of('b', generate(tokens(50, 4), { maxTokens: 40 })), of('c', classification(tokens(250, 5), prompt)), of('c', generate(tokens(300, 6), { maxTokens: 4 }))
        ]
        const known = []
        for (const request of [long, ...others]) known.push(untimed(await collect(service, request)))
        for (let round = 0; round < 10; round++) {
          const order: number[] = []
          const all = []
          for (const [index, request] of [long, ...others].entries()) {
            const { done } = await submit(service, request, undefined, () => { if (!order.includes(index)) order.push(index) })
            all.push(done)
            // The long one is under way before the others come.
            if (index === 0) while (service.service.status().running === 0) await new Promise(resolve => setImmediate(resolve))
          }
          for (const [index, done] of all.entries()) assert.deepEqual(untimed(await done), known[index], `request ${index}`)
          assert.ok(order.indexOf(0) >= 2, order.join())
        }
      } finally {
        await service.stop(0)
        await dispose()
      }
    })
  }
})
