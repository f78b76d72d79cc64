import assert from 'node:assert/strict'
import { once } from 'node:events'
import { after, before, suite, test } from 'node:test'
import { digestOf, type Digest } from '../../src/digest.js'
import { ServiceError, type ErrorCode } from '../../src/errors.js'
import { HeadRows } from '../../src/inference/head-rows.js'
import type { SequenceEvent, SequenceRequest } from '../../src/inference/protocol.js'
import { SERVING_FORMATS } from '../../src/model/base.js'
import { seededNumbers } from '../support/numbers.js'
import { tinyBase, type TestBase } from './tiny-base.js'
import { classification, collect, failingEngine, generate, promptFiles, submit, tinyService, tokenIds, untimed } from './tiny-service.js'

const refused = (code: ErrorCode, message?: RegExp) => (error: unknown): boolean => {
  assert.ok(error instanceof ServiceError, String(error))
  assert.equal(error.code, code)
  if (message !== undefined) assert.match(error.message, message)
  return true
}

const input = (tokens: number): number[] => Array.from({ length: tokens }, (_, i) => i + 1)

suite('inference service', () => {
  let tiny: TestBase
  before(async () => { tiny = await tinyBase() })
  after(async () => { await tiny.dispose() })

  for (const format of SERVING_FORMATS) {
    test(`${format}: label scores of a verbalizer of tokens are the logits of these tokens`, async () => {
      const service = await tinyService(tiny.base, { format })
      try {
        const prompt = { method: 'prompt-tuning' as const, virtualTokens: 4 }
        const generation = service.artifacts.put(promptFiles(tiny.base, { ...prompt, value: seededNumbers(1) }))
        const [first] = await collect(service, generate([3, 4, 5], { prompt: generation, logprobs: 6 }))
        assert.ok(first?.type === 'token')
        const labelTokens = first.top!.map(([id]) => id)
        const digest = service.artifacts.put(promptFiles(tiny.base, { ...prompt, value: seededNumbers(1), labelTokens }))
        const [scores] = await collect(service, classification([3, 4, 5], digest))
        assert.ok(scores?.type === 'scores')
        assert.equal(scores.virtualTokens, 4)
        // The graph's head is quantised too in W8A8, the label rows are not.
        const tolerance = format === 'float32' ? 1e-4 : 0.15
        for (const [index, [, logprob]] of first.top!.entries()) {
          const difference = scores.logits[index]! - scores.logits[0]! - (logprob - first.top![0]![1])
          assert.ok(Math.abs(difference) < tolerance, `label ${index}: off by ${difference}`)
        }
        const total = scores.logits.reduce((sum, logit) => sum + Math.exp(logit), 0)
        for (const [index, probability] of scores.probabilities.entries()) assert.ok(Math.abs(probability - Math.exp(scores.logits[index]!) / total) < 1e-12)
      } finally {
        await service.stop(0)
      }
    })

    test(`${format}: label vectors equal to head rows give the bits of a verbalizer of tokens`, async () => {
      const service = await tinyService(tiny.base, { format })
      const head = await HeadRows.open(tiny.base.folder)
      try {
        const labelTokens = [7, 70, 170]
        const prompt = { method: 'prefix-tuning' as const, virtualTokens: 3, labelTokens, value: (index: number) => Math.sin(index) }
        const byTokens = service.artifacts.put(promptFiles(tiny.base, prompt))
        const byVectors = service.artifacts.put(promptFiles(tiny.base, { ...prompt, labelVectors: await head.read(labelTokens) }))
        assert.deepEqual(untimed(await collect(service, classification([1, 2], byVectors))), untimed(await collect(service, classification([1, 2], byTokens))))
      } finally {
        await head.close()
        await service.stop(0)
      }
    })
  }

  test('a stop token ends the answer and is not sent', async () => {
    const service = await tinyService(tiny.base)
    try {
      const all = tokenIds(await collect(service, generate([1, 2, 3], { maxTokens: 20 })))
      const place = all.findIndex((id, index) => index > 2 && all.indexOf(id) === index)
      assert.ok(place > 0)
      const events = await collect(service, generate([1, 2, 3], { maxTokens: 20, stopTokenIds: [all[place]!] }))
      assert.deepEqual(tokenIds(events), all.slice(0, place))
      const last = events.at(-1)!
      assert.ok(last.type === 'finished' && last.reason === 'stop')
    } finally {
      await service.stop(0)
    }
  })

  test('the same seed draws the same answer, another seed another one', async () => {
    const service = await tinyService(tiny.base)
    try {
      const sampled = (seed: number): Promise<SequenceEvent[]> => collect(service, generate([1, 2, 3], { maxTokens: 30, sampling: { temperature: 1, seed } }))
      const first = untimed(await sampled(5))
      assert.deepEqual(untimed(await sampled(5)), first)
      assert.notDeepEqual(untimed(await sampled(6)), first)
    } finally {
      await service.stop(0)
    }
  })

  test('an answer is cut to what the slot leaves; an input that leaves nothing is refused with the numbers', async () => {
    const service = await tinyService(tiny.base, { maxContext: 32 })
    try {
      const prompt = service.artifacts.put(promptFiles(tiny.base, { method: 'prefix-tuning', virtualTokens: 4, value: () => 0.1 }))
      const labelled = service.artifacts.put(promptFiles(tiny.base, { method: 'prefix-tuning', virtualTokens: 4, labelTokens: [1, 2], value: () => 0.1 }))
      const events = await collect(service, generate(input(20), { prompt, maxTokens: 100 }))
      assert.equal(tokenIds(events).length, 8)
      assert.ok(events.at(-1)!.type === 'finished')
      assert.equal(tokenIds(await collect(service, generate(input(27), { prompt, maxTokens: 100 }))).length, 1)
      await assert.rejects(submit(service, generate(input(28), { prompt })), refused('context_too_long', /^28 tokens of input behind 4 virtual tokens and no room for an answer, limit 32$/))
      assert.equal((await collect(service, classification(input(28), labelled)))[0]!.type, 'scores')
      await assert.rejects(submit(service, classification(input(29), labelled)), refused('context_too_long', /^29 tokens of input behind 4 virtual tokens, limit 32$/))
      const long = service.artifacts.put(promptFiles(tiny.base, { method: 'prompt-tuning', virtualTokens: 32, value: () => 0.1 }))
      await assert.rejects(submit(service, generate([1], { prompt: long })), refused('context_too_long', /^32 virtual tokens, limit 32$/))
    } finally {
      await service.stop(0)
    }
  })

  test('requests that cannot be served are refused by name and disturb nobody', async () => {
    const service = await tinyService(tiny.base)
    try {
      const prompt = { method: 'prompt-tuning' as const, virtualTokens: 2, value: () => 0.1 }
      const generation = service.artifacts.put(promptFiles(tiny.base, prompt))
      const foreign = service.artifacts.put(promptFiles(tiny.base, { ...prompt, base: digestOf('another base') }))
      const before = untimed(await collect(service, generate([1, 2])))
      await assert.rejects(submit(service, generate([1, 344])), refused('invalid_request', /token id 344, this base has 344/))
      await assert.rejects(submit(service, classification([1], generation)), refused('invalid_request', /no labels/))
      await assert.rejects(submit(service, { ...classification([1], generation), prompt: null }), refused('invalid_request', /no labels/))
      await assert.rejects(submit(service, generate([1], { prompt: foreign })), refused('wrong_base'))
      await assert.rejects(submit(service, generate([1], { prompt: digestOf('nothing') })), refused('version_not_found'))
      assert.deepEqual(untimed(await collect(service, generate([1, 2]))), before)
    } finally {
      await service.stop(0)
    }
  })

  test('a client that hangs up frees its slot before the next step', async () => {
    const service = await tinyService(tiny.base, { slots: 1 })
    try {
      const hangUp = new AbortController()
      let stepsAtHangUp = 0
      const first = await submit(service, generate([1, 2], { maxTokens: 600 }), hangUp.signal, () => {
        if (first.events.length !== 5) return
        hangUp.abort()
        stepsAtHangUp = service.service.status().stepsTotal
      })
      const second = await submit(service, generate([3, 4], { maxTokens: 1 }))
      await second.done
      assert.equal(first.events.length, 5)
      assert.equal(service.service.status().stepsTotal, stepsAtHangUp + 1)
    } finally {
      await service.stop(0)
    }
  })

  test('more than the queue holds are refused with a time to come back', async () => {
    const service = await tinyService(tiny.base, { slots: 1, maxWaiting: 2 })
    try {
      const accepted = []
      for (let i = 0; i < 3; i++) accepted.push(await submit(service, generate([1, 2], { maxTokens: 50 })))
      await assert.rejects(submit(service, generate([1, 2])), (error: unknown) => refused('saturated', /limit 2/)(error) && (error as ServiceError).retryAfter! >= 1)
      for (const { done } of accepted) assert.equal((await done).at(-1)!.type, 'finished')
      await collect(service, generate([1, 2]))
    } finally {
      await service.stop(0)
    }
  })

  test('a flood of large prompts stays within the bound of memory, keeps nobody out, and holds nothing once it runs', async () => {
    const large = (seed: number) => promptFiles(tiny.base, { method: seed % 2 === 0 ? 'prompt-tuning' : 'prefix-tuning', virtualTokens: 60, value: seededNumbers(seed) })
    const roomy = await tinyService(tiny.base)
    await collect(roomy, generate([1], { prompt: roomy.artifacts.put(large(0)) }))
    const limit = 6 * roomy.service.status().promptCacheBytes
    await roomy.stop(0)
    const service = await tinyService(tiny.base, { slots: 2, promptCacheBytes: limit })
    try {
      const small = Array.from({ length: 4 }, (_, seed) => generate([1, 2, 3], { prompt: service.artifacts.put(promptFiles(tiny.base, { method: 'prompt-tuning', virtualTokens: 2, value: seededNumbers(seed) })) }))
      const alone = []
      for (const request of small) alone.push(untimed(await collect(service, request)))
      let most = 0
      const look = (): void => {
        const { promptBytesInUse, promptCacheBytes } = service.service.status()
        most = Math.max(most, promptBytesInUse)
        assert.ok(promptBytesInUse <= limit && promptCacheBytes <= limit, `${promptBytesInUse} in use and ${promptCacheBytes} in memory of ${limit}`)
      }
      const send = async (tenant: string, request: SequenceRequest): Promise<SequenceEvent[]> => await (await submit(service, { ...request, tenant }, undefined, look)).done
      const flood = Promise.allSettled(Array.from({ length: 40 }, (_, seed) => send('noisy', generate([1, 2], { prompt: service.artifacts.put(large(seed)), maxTokens: 30 }))))
      for (const [index, request] of small.entries()) assert.deepEqual(untimed(await send('quiet', request)), alone[index])
      const answers = await flood
      const refusals = answers.flatMap(answer => answer.status === 'rejected' ? [answer.reason as unknown] : [])
      for (const error of refusals) assert.ok(refused('saturated', /limit \d+$/)(error) && (error as ServiceError).retryAfter! >= 1)
      assert.ok(refusals.length > 0 && refusals.length < 40, `${refusals.length} refused`)
      assert.ok(most > 0)
      let inUse = -1
      await (await submit(service, generate([1], { prompt: service.artifacts.put(large(0)) }), undefined, () => { inUse = service.service.status().promptBytesInUse })).done
      assert.equal(inUse, 0)
      const { running, waiting, promptBytesInUse } = service.service.status()
      assert.deepEqual({ running, waiting, promptBytesInUse }, { running: 0, waiting: 0, promptBytesInUse: 0 })
    } finally {
      await service.stop(0)
    }
  })

  test('hang-ups at any moment, under load, leave nothing behind', async () => {
    // Room for about half of the prompts.
    const limit = 20_000
    const service = await tinyService(tiny.base, { slots: 3, promptCacheBytes: limit })
    try {
      const random = seededNumbers(9)
      const below = (limit: number): number => Math.floor((random() + 1) / 2 * limit)
      const prompts = Array.from({ length: 10 }, (_, index): Digest => service.artifacts.put(promptFiles(tiny.base, { method: index % 2 === 0 ? 'prompt-tuning' : 'prefix-tuning', virtualTokens: 1 + index, value: random })))
      const reference = untimed(await collect(service, generate([5, 6, 7], { prompt: prompts[1]! })))
      const hangUps: Array<Promise<unknown>> = []
      for (let i = 0; i < 400; i++) {
        const hangUp = new AbortController()
        hangUps.push(submit(service, generate([1, 2, i % 300], { prompt: prompts[below(10)]!, maxTokens: 200 }), hangUp.signal).catch((error: unknown) => {
          if (!hangUp.signal.aborted && !(error instanceof ServiceError && error.code === 'saturated')) throw error
        }))
        for (let wait = below(6); wait > 0; wait--) await new Promise(resolve => setImmediate(resolve))
        hangUp.abort()
      }
      await Promise.all(hangUps)
      // Before its first step those that hung up have left.
      await collect(service, generate([1]))
      assert.equal(service.service.status().promptBytesInUse, 0)
      assert.deepEqual(untimed(await collect(service, generate([5, 6, 7], { prompt: prompts[1]! }))), reference)
      const { running, waiting, promptCacheBytes, promptBytesInUse } = service.service.status()
      assert.deepEqual({ running, waiting, promptBytesInUse }, { running: 0, waiting: 0, promptBytesInUse: 0 })
      assert.ok(promptCacheBytes <= limit)
    } finally {
      await service.stop(0)
    }
  })

  test('a step that fails inside ONNX Runtime fails its own sequences and nothing else', async () => {
    let fail = false
    const service = await tinyService(tiny.base, { slots: 3 }, failingEngine(() => {
      const now = fail
      fail = false
      return now
    }))
    try {
      const compiled = service.artifacts.put(promptFiles(tiny.base, { method: 'prompt-tuning', virtualTokens: 2, value: () => 0.2 }))
      fail = true
      const failed = await submit(service, generate([1, 2]))
      const good = await submit(service, generate([1, 2]))
      assert.deepEqual(await failed.done, [{ type: 'failed', code: 'internal', message: 'the engine failed on this step' }])
      assert.equal((await good.done).at(-1)!.type, 'finished')
      fail = true
      await assert.rejects(submit(service, generate([1, 2], { prompt: compiled })), refused('internal'))
      assert.equal((await collect(service, generate([1, 2], { prompt: compiled }))).at(-1)!.type, 'finished')
      assert.equal(service.service.status().running, 0)
    } finally {
      await service.stop(0)
    }
  })

  test('stopping lets accepted sequences finish and refuses new ones', async () => {
    const service = await tinyService(tiny.base, { slots: 1 })
    const prompt = service.artifacts.put(promptFiles(tiny.base, { method: 'prompt-tuning', virtualTokens: 2, value: () => 0.2 }))
    const running = await submit(service, generate([1, 2], { maxTokens: 30 }))
    const waiting = await submit(service, generate([3, 4], { maxTokens: 3 }))
    const loading = submit(service, generate([3, 4], { prompt, maxTokens: 3 }))
    const stopped = service.stop(60_000)
    await assert.rejects(submit(service, generate([1])), refused('inference_unavailable'))
    assert.equal(service.service.status().ready, false)
    await stopped
    for (const { done } of [running, waiting, await loading]) assert.equal((await done).at(-1)!.type, 'finished')
  })

  test('what is not finished within the grace period is told so', async () => {
    const service = await tinyService(tiny.base, { slots: 1 })
    const tokens = new AbortController()
    const running = await submit(service, generate([1, 2], { maxTokens: 600 }), undefined, () => tokens.abort())
    const waiting = await submit(service, generate([3, 4]))
    await once(tokens.signal, 'abort')
    await service.stop(0)
    for (const { done } of [running, waiting]) {
      const last = (await done).at(-1)!
      assert.ok(last.type === 'failed' && last.code === 'inference_unavailable')
    }
  })

  test('a prompt is loaded ahead of its first request', async () => {
    const service = await tinyService(tiny.base)
    try {
      const prompt = service.artifacts.put(promptFiles(tiny.base, { method: 'prompt-tuning', virtualTokens: 2, value: () => 0.2 }))
      await service.service.preload(prompt)
      assert.equal(service.service.status().promptsCached, 1)
      await collect(service, generate([1], { prompt }))
      assert.equal(service.artifacts.gets, 1)
    } finally {
      await service.stop(0)
    }
  })
})
