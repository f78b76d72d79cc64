import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import { CApiEngine } from '../../src/inference/engine/c-api.js'
import { StockEngine } from '../../src/inference/engine/stock.js'
import type { SequenceRequest } from '../../src/inference/protocol.js'
import { seededNumbers } from '../support/numbers.js'
import { tinyBase } from './tiny-base.js'
import { beamSearch, collect, generate, promptFiles, submit, tinyService, untimed } from './tiny-service.js'

suite('beam search in the engine', () => {
  for (const [open, headSize] of [[CApiEngine.open, 16], [StockEngine.open, 12]] as const) {
    test(`answers as each beam alone does, and the same beside strangers: ${open === CApiEngine.open ? 'C API' : 'stock'}`, async () => {
      const { base, dispose } = await tinyBase({ headSize, hiddenSize: 4 * headSize, contextLength: 640 })
      const service = await tinyService(base, { slots: 6 }, open)
      try {
        const random = seededNumbers(5)
        const below = (limit: number): number => Math.floor((random() + 1) / 2 * limit)
        const ids = (length: number): number[] => Array.from({ length }, () => below(340))
        const prompt = service.artifacts.put(promptFiles(base, { method: 'prefix-tuning', virtualTokens: 5, value: random }))
        const requests: SequenceRequest[] = [
          beamSearch(ids(5), { beams: 4, answers: 4, maxTokens: 9, stopTokenIds: [1, 2] }),
          beamSearch(ids(300), { beams: 2, answers: 1, maxTokens: 12, prompt }),
          beamSearch(ids(1), { beams: 6, answers: 6, maxTokens: 5, prompt, lengthPenalty: 2, earlyStopping: 'never' }),
          generate(ids(20), { maxTokens: 15 }), generate(ids(290), { maxTokens: 4, prompt }), generate(ids(3), { maxTokens: 1 }), generate(ids(2), { maxTokens: 30, sampling: { temperature: 1, seed: 3 } })
        ]
        const alone: unknown[] = []
        for (const request of requests) alone.push(untimed(await collect(service, request)))
        for (let mix = 0; mix < 30; mix++) {
          const noise = new AbortController()
          const cancelled = submit(service, below(2) === 0 ? beamSearch(ids(4), { beams: 3, answers: 1, maxTokens: 60 }) : generate(ids(4), { maxTokens: 60 }), noise.signal)
          const running = []
          for (let index = 0; index < requests.length; index++) {
            const chosen = (mix + index * 3) % requests.length
            running.push(submit(service, requests[chosen]!).then(async ({ done }) => ({ chosen, events: untimed(await done) })))
            for (let wait = below(4); wait > 0; wait--) await turn()
          }
          await cancelled
          noise.abort()
          for (const { chosen, events } of await Promise.all(running)) assert.deepEqual(events, alone[chosen], `mix ${mix}, request ${chosen}`)
        }
        assert.equal(service.service.status().running, 0)
      } finally {
        await service.stop(0)
        await dispose()
      }
    })
  }

  test('a score is the sum of the log-probabilities that its own text has', async () => {
    const { base, dispose } = await tinyBase({})
    const service = await tinyService(base)
    try {
      const input = [5, 9, 200]
      const [answer] = await collect(service, beamSearch(input, { beams: 4, answers: 4, maxTokens: 6 }))
      assert.ok(answer?.type === 'beams')
      assert.deepEqual([answer.beams.length, answer.generated, answer.virtualTokens], [4, 24, 0])
      for (const { ids, score } of answer.beams) {
        let sum = 0
        for (const [index, id] of ids.entries()) {
          const [event] = await collect(service, generate([...input, ...ids.slice(0, index)], { maxTokens: 1, logprobs: 20 }))
          assert.ok(event?.type === 'token')
          sum += event.top!.find(([other]) => other === id)?.[1] ?? NaN
        }
        assert.ok(Math.abs(score - sum / ids.length) < 1e-4, `${score} against ${sum / ids.length}`)
      }
    } finally {
      await service.stop(0)
      await dispose()
    }
  })

  test('numbers that are not finite, hanging up and the end of the process reach it once, and its rows are free', async () => {
    const { base, dispose } = await tinyBase({})
    const service = await tinyService(base, { slots: 4 })
    try {
      const wild = service.artifacts.put(promptFiles(base, { method: 'prefix-tuning', virtualTokens: 5, value: index => index % 2 === 0 ? 3e38 : -3e38 }))
      assert.deepEqual((await collect(service, beamSearch([1, 2], { beams: 3, answers: 1, prompt: wild }))).map(event => event.type), ['failed'])
      const hangUp = new AbortController()
      const hungUp = await submit(service, beamSearch([1, 2, 3], { beams: 3, answers: 1, maxTokens: 600 }), hangUp.signal)
      while (service.service.status().running < 3) await turn()
      hangUp.abort()
      // Takes every slot, so it waits for those of the one that hung up.
      const [answer] = await collect(service, beamSearch([4], { beams: 4, answers: 1 }))
      assert.equal(answer?.type, 'beams')
      assert.deepEqual(hungUp.events, [])
      const cutOff = await submit(service, beamSearch([1, 2, 3], { beams: 4, answers: 1, maxTokens: 600 }))
      while (service.service.status().running < 4) await turn()
      await service.stop(0)
      assert.deepEqual((await cutOff.done).map(event => event.type), ['failed'])
    } finally {
      await service.stop(0)
      await dispose()
    }
  })

  test('more beams than rows, and more answers than beams, are refused', async () => {
    const { base, dispose } = await tinyBase({})
    const service = await tinyService(base, { slots: 3 })
    try {
      await assert.rejects(collect(service, beamSearch([1], { beams: 4, answers: 1 })), { code: 'invalid_request', param: 'num_beams' })
      await assert.rejects(collect(service, beamSearch([1], { beams: 2, answers: 3 })), { code: 'invalid_request', param: 'n' })
    } finally {
      await service.stop(0)
      await dispose()
    }
  })
})
