import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import type { Digest } from '../../src/digest.js'
import { CApiEngine } from '../../src/inference/engine/c-api.js'
import { StockEngine } from '../../src/inference/engine/stock.js'
import { PenalisedTokens } from '../../src/inference/penalties.js'
import type { Penalties, Sampling } from '../../src/inference/protocol.js'
import { chooseToken } from '../../src/inference/sampler.js'
import type { Base } from '../../src/model/base.js'
import { seededNumbers } from '../support/numbers.js'
import { tinyBase } from './tiny-base.js'
import { classification, collect, ensemble, failingEngine, generate, promptFiles, submit, type TestService, tinyService, tokenIds, untimed } from './tiny-service.js'

const LABELS = [5, 9, 200]
/** What a prompt of such numbers does to the attention is not finite. */
const wildValue = (index: number): number => index % 2 === 0 ? 3e38 : -3e38

/** Prompts of 3, 1 and 7 virtual tokens, of both methods. */
function publishMembers (service: TestService, base: Base, labelTokens?: readonly number[]): [Digest, Digest, Digest] {
  const value = seededNumbers(11)
  const put = (method: 'prompt-tuning' | 'prefix-tuning', virtualTokens: number): Digest =>
    service.artifacts.put(promptFiles(base, { method, virtualTokens, value, ...(labelTokens === undefined ? {} : { labelTokens }) }))
  return [put('prefix-tuning', 3), put('prompt-tuning', 1), put('prefix-tuning', 7)]
}

function inputOf (length: number): number[] {
  const random = seededNumbers(length)
  return Array.from({ length }, () => Math.floor((random() + 1) / 2 * 340))
}

/** Log-probabilities of every token after `ids`, of one member that runs alone. */
async function alone (service: TestService, prompt: Digest, ids: number[], vocabSize: number): Promise<number[]> {
  const [event] = await collect(service, generate(ids, { prompt, maxTokens: 1, logprobs: vocabSize }))
  assert.ok(event?.type === 'token')
  const all: number[] = []
  for (const [id, logprob] of event.top!) all[id] = logprob
  return all
}

const mean = (votes: readonly number[][]): number[] => votes[0]!.map((_, index) => votes.reduce((sum, vote) => sum + vote[index]!, 0) / votes.length)

function normalised (scores: readonly number[]): number[] {
  const normaliser = Math.log(scores.reduce((sum, score) => sum + Math.exp(score), 0))
  return scores.map(score => score - normaliser)
}

suite('ensembles in the engine', () => {
  for (const [open, headSize] of [[CApiEngine.open, 16], [StockEngine.open, 12]] as const) {
    test(`a generation says at each position what the mean of its members, each alone, would: ${open === CApiEngine.open ? 'C API' : 'stock'}`, async () => {
      const { base, dispose } = await tinyBase({ headSize, hiddenSize: 4 * headSize, contextLength: 640 })
      const service = await tinyService(base, {}, open)
      try {
        const members = publishMembers(service, base)
        const { vocabSize } = base.manifest.config
        const ways: Array<{ sampling?: Partial<Sampling>, penalties?: Penalties }> = [
          {}, { sampling: { temperature: 0.8, topK: 30, topP: 0.9, seed: 4 } }, { penalties: { repetition: 1.5, presence: 0.3, frequency: 0.2 } }
        ]
        for (const [length, options] of [[1, ways[0]!], [5, ways[1]!], [9, ways[2]!], [300, ways[0]!]] as const) {
          const input = inputOf(length)
          const before = service.service.status().tokensTotal
          const events = await collect(service, ensemble(generate(input, { prompt: members[0], maxTokens: 5, logprobs: 2, ...options }), members.slice(1)))
          assert.equal(service.service.status().tokensTotal - before, 15)
          const said: number[] = []
          const penalised = options.penalties === undefined ? null : new PenalisedTokens(options.penalties, input, 5)
          for (const event of events.slice(0, -1)) {
            assert.ok(event.type === 'token')
            const votes: number[][] = []
            for (const member of members) votes.push(await alone(service, member, [...input, ...said], vocabSize))
            const scores = mean(votes)
            const lowered = Float32Array.from(scores)
            penalised?.lower(lowered)
            const sampling = { temperature: 0, topK: 0, topP: 1, minP: 0, seed: 0, ...options.sampling }
            assert.equal(event.id, chooseToken(lowered, sampling, said.length), `${length} tokens of input, position ${said.length}`)
            const expected = normalised(scores)
            for (const [id, logprob] of [[event.id, event.logprob!] as const, ...event.top!]) assert.ok(Math.abs(logprob - expected[id]!) < 1e-4, `${logprob} against ${expected[id]}`)
            said.push(event.id)
            penalised?.add(event.id)
          }
          const last = events.at(-1)
          assert.deepEqual([said.length, last?.type, last?.type === 'finished' && last.reason, last?.type === 'finished' && last.virtualTokens], [5, 'finished', 'length', 11])
        }
      } finally {
        await service.stop(0)
        await dispose()
      }
    })
  }

  test('a classification answers the mean of the log-probabilities that its members give alone', async () => {
    const { base, dispose } = await tinyBase({ contextLength: 640 })
    // One slot: a classification needs no more, however many members it has.
    const service = await tinyService(base, { slots: 1 })
    try {
      const members = publishMembers(service, base, LABELS)
      for (const length of [1, 8, 300]) {
        const votes: number[][] = []
        for (const member of members) {
          const [event] = await collect(service, classification(inputOf(length), member))
          assert.ok(event?.type === 'scores')
          votes.push(event.probabilities.map(Math.log))
        }
        const [event, ...rest] = await collect(service, ensemble(classification(inputOf(length), members[0]), members.slice(1)))
        assert.ok(event?.type === 'scores')
        assert.deepEqual([rest.length, event.virtualTokens], [0, 11])
        const expected = normalised(mean(votes)).map(Math.exp)
        for (const [label, probability] of event.probabilities.entries()) assert.ok(Math.abs(probability - expected[label]!) < 1e-9, `${event.probabilities} against ${expected}`)
        assert.notDeepEqual(event.probabilities.map(p => p.toFixed(6)), votes[0]!.map(p => Math.exp(p).toFixed(6)))
      }
    } finally {
      await service.stop(0)
      await dispose()
    }
  })

  test('a member that is there twice changes nothing but the cost', async () => {
    const { base, dispose } = await tinyBase({})
    const service = await tinyService(base)
    try {
      const [prompt] = publishMembers(service, base)
      const single = await collect(service, generate(inputOf(6), { prompt, maxTokens: 12 }))
      const doubled = await collect(service, ensemble(generate(inputOf(6), { prompt, maxTokens: 12 }), [prompt]))
      assert.deepEqual(tokenIds(doubled), tokenIds(single))
    } finally {
      await service.stop(0)
      await dispose()
    }
  })

  test('a stop token ends all members at once', async () => {
    const { base, dispose } = await tinyBase({})
    const service = await tinyService(base)
    try {
      const [prompt, ...others] = publishMembers(service, base)
      const said = tokenIds(await collect(service, ensemble(generate(inputOf(6), { prompt, maxTokens: 12 }), others)))
      const stop = said.at(-1)!
      const stopped = await collect(service, ensemble(generate(inputOf(6), { prompt, maxTokens: 12, stopTokenIds: [stop] }), others))
      assert.deepEqual([tokenIds(stopped), stopped.at(-1)?.type === 'finished'], [said.slice(0, said.indexOf(stop)), true])
      assert.equal(service.service.status().running, 0)
    } finally {
      await service.stop(0)
      await dispose()
    }
  })

  test('numbers that are not finite, hanging up and the end of the process reach it once, wherever it is, and its rows are free', async () => {
    const { base, dispose } = await tinyBase({ contextLength: 640 })
    const service = await tinyService(base, { slots: 4 })
    try {
      const [prompt, ...others] = publishMembers(service, base)
      const wild = service.artifacts.put(promptFiles(base, { method: 'prefix-tuning', virtualTokens: 5, value: wildValue }))
      for (const members of [[wild, prompt, ...others], [prompt, others[0]!, wild], [prompt, wild, others[0]!]]) {
        assert.deepEqual((await collect(service, ensemble(generate([1, 2], { prompt: members[0]! }), members.slice(1)))).map(event => event.type), ['failed'])
        assert.equal(service.service.status().running, 0)
      }
      // While its rows still take the input in, and when all of them decode.
      for (const [rows, length] of [[2, 600], [3, 3]] as const) {
        const hangUp = new AbortController()
        const hungUp = await submit(service, ensemble(generate(inputOf(length), { prompt, maxTokens: 600 }), others), hangUp.signal)
        while (service.service.status().running < rows) await turn()
        hangUp.abort()
        const told = hungUp.events.length
        // Takes every slot, so it waits for those of the one that hung up.
        const events = await collect(service, ensemble(generate([4], { prompt, maxTokens: 2 }), [...others, prompt]))
        assert.equal(events.at(-1)?.type, 'finished')
        assert.equal(hungUp.events.length, told)
      }
      const cutOff = await submit(service, ensemble(generate([1, 2, 3], { prompt, maxTokens: 600 }), others))
      while (service.service.status().running < 3) await turn()
      await service.stop(0)
      assert.deepEqual((await cutOff.done).filter(event => event.type !== 'token').map(event => event.type), ['failed'])
    } finally {
      await service.stop(0)
      await dispose()
    }
  })

  test('a step that fails, whichever it is, ends all members and nothing else', async () => {
    const { base, dispose } = await tinyBase({})
    let stepsLeft = Infinity
    const service = await tinyService(base, { slots: 4 }, failingEngine(() => stepsLeft-- === 0))
    try {
      const [prompt, ...others] = publishMembers(service, base)
      const request = ensemble(generate([1, 2, 3], { prompt, maxTokens: 3 }), others)
      const whole = untimed(await collect(service, request))
      // Three inputs, and two steps of three rows.
      for (let steps = 0; steps < 5; steps++) {
        stepsLeft = steps
        const events = untimed(await collect(service, request))
        assert.deepEqual(events, [...whole.slice(0, Math.max(0, steps - 2)), { type: 'failed', code: 'internal', message: 'the engine failed on this step' }], `${steps} steps`)
        assert.equal(service.service.status().running, 0)
      }
      assert.deepEqual(untimed(await collect(service, request)), whole)
    } finally {
      await service.stop(0)
      await dispose()
    }
  })

  test('has its prompts in memory together, beyond the bound of the cache, and leaves none of them pinned', async () => {
    const { base, dispose } = await tinyBase({})
    const limit = 9000
    const service = await tinyService(base, { slots: 3, promptCacheBytes: limit })
    try {
      const [prompt, ...others] = publishMembers(service, base)
      // Until it hangs up there are too few slots, and the ensemble does not start.
      const hangUp = new AbortController()
      await submit(service, generate([4, 5], { maxTokens: 600 }), hangUp.signal)
      const running = await submit(service, ensemble(generate([1, 2, 3], { prompt }), others))
      assert.equal(service.service.status().promptsCached, 3)
      assert.ok(service.service.status().promptBytesInUse > limit)
      hangUp.abort()
      await running.done
      assert.equal(service.service.status().promptBytesInUse, 0)
      assert.ok(service.service.status().promptCacheBytes <= limit)
      const missing = `sha256:${'0'.repeat(64)}` as const
      await assert.rejects(collect(service, ensemble(generate([1, 2, 3], { prompt }), [others[0], missing])), { code: 'version_not_found' })
      assert.equal(service.service.status().promptBytesInUse, 0)
      assert.equal(service.service.status().waiting, 0)
      for (let again = 0; again < 4; again++) assert.deepEqual(untimed(await collect(service, ensemble(generate([1, 2, 3], { prompt }), others))), untimed(running.events))
    } finally {
      await service.stop(0)
      await dispose()
    }
  })

  test('what cannot answer together is refused', async () => {
    const { base, dispose } = await tinyBase({})
    const service = await tinyService(base, { slots: 2, maxContext: 16 })
    try {
      const [prompt, ...others] = publishMembers(service, base)
      const [labelled] = publishMembers(service, base, LABELS)
      const [fewer] = publishMembers(service, base, LABELS.slice(1))
      const refused = { code: 'invalid_request', param: 'ensemble' }
      await assert.rejects(collect(service, ensemble(generate([1], { prompt }), others)), { ...refused, message: '3 members, this service runs 2 rows at once' })
      await assert.rejects(collect(service, ensemble(generate([1]), others)), refused)
      await assert.rejects(collect(service, ensemble({ ...generate([1], { prompt }), work: { kind: 'beams', maxTokens: 1, stopTokenIds: [], beams: 2, answers: 1, lengthPenalty: 1, earlyStopping: false } }, others)), refused)
      await assert.rejects(collect(service, ensemble(classification([1], labelled), [fewer])), refused)
      await assert.rejects(collect(service, ensemble(classification([1], labelled), [prompt])), { code: 'invalid_request', param: 'work/kind' })
      // Beside 3 virtual tokens there is room for it, beside 7 there is not.
      await assert.rejects(collect(service, ensemble(generate(inputOf(10), { prompt }), [others[1]])), { code: 'context_too_long', param: 'input' })
    } finally {
      await service.stop(0)
      await dispose()
    }
  })
})
