/** The first tokens of a template, compiled with the prompt: the same bits whether that has happened or not. */
import assert from 'node:assert/strict'
import { after, before, suite, test } from 'node:test'
import { Registry } from 'prom-client'
import type { Digest } from '../../src/digest.js'
import { ServiceError } from '../../src/errors.js'
import { measureReplicas } from '../../src/inference/client-metrics.js'
import type { SequenceEvent, SequenceRequest } from '../../src/inference/protocol.js'
import { SERVING_FORMATS } from '../../src/model/base.js'
import { type Method, METHODS } from '../../src/prompt/methods.js'
import { seededNumbers } from '../support/numbers.js'
import { tinyBase, type TestBase } from './tiny-base.js'
import { beamSearch, classification, collect, ensemble, generate, promptFiles, submit, tinyService, type TestService, untimed } from './tiny-service.js'

const FIXED = 6
const input = (tokens: number): number[] => Array.from({ length: tokens }, (_, i) => i * 7 % 300 + 1)
const INPUT = input(FIXED + 3)

async function answers (service: TestService, requests: readonly SequenceRequest[]): Promise<unknown[]> {
  const all = []
  for (const request of requests) all.push(untimed(await collect(service, request)))
  return all
}

function logits ([event]: readonly SequenceEvent[]): readonly number[] {
  return event?.type === 'scores' ? event.logits : []
}

suite('fixed tokens', () => {
  let tiny: TestBase
  before(async () => { tiny = await tinyBase({ contextLength: 640 }) })
  after(async () => { await tiny.dispose() })

  const publish = (service: TestService, method: Method, labelTokens?: number[], virtualTokens = 4): Digest => service.artifacts.put(promptFiles(tiny.base, { method, virtualTokens, value: seededNumbers(1), ...(labelTokens === undefined ? {} : { labelTokens }) }))

  /** One of each kind of work. */
  function requestsTo (service: TestService, method: Method, fixedTokens: number, inputIds = INPUT): SequenceRequest[] {
    const prompt = publish(service, method)
    return [
      classification(inputIds, publish(service, method, [5, 9])),
      generate(inputIds, { prompt, logprobs: 3 }),
      generate(inputIds, { prompt, sampling: { temperature: 1, seed: 3 }, penalties: { repetition: 1.4, presence: 0.5, frequency: 0.2 } }),
      beamSearch(inputIds, { prompt, beams: 3, answers: 2 }),
      ensemble(generate(inputIds, { prompt }), [publish(service, method, undefined, 3)]),
      ensemble(classification(inputIds, publish(service, method, [5, 9])), [publish(service, method, [5, 9], 3)])
    ].map(request => ({ ...request, fixedTokens }))
  }

  for (const format of SERVING_FORMATS) {
    for (const method of METHODS) {
      // Longer than a chunk, so that it is compiled in several; and with a single token left to run.
      for (const [fixedTokens, tokens] of [[FIXED, INPUT.length], [1, 2], [300, 301], [20, 300]] as const) {
        test(`${format}, ${method}: ${fixedTokens} of ${tokens} tokens, cold, warm, evicted and in another process to the same bits`, async () => {
          const roomy = await tinyService(tiny.base, { format })
          // One byte: whatever is not in use is evicted.
          const evicting = await tinyService(tiny.base, { format, promptCacheBytes: 1 })
          try {
            const requests = requestsTo(roomy, method, fixedTokens, input(tokens))
            requestsTo(evicting, method, fixedTokens)
            const cold = await answers(roomy, requests)
            const { fixedTokensPrefilledTotal } = roomy.service.status()
            // Of four prompts.
            assert.equal(fixedTokensPrefilledTotal, 4 * fixedTokens)
            assert.deepEqual(await answers(roomy, requests), cold)
            assert.equal(roomy.service.status().fixedTokensPrefilledTotal, fixedTokensPrefilledTotal)
            assert.deepEqual(await answers(evicting, requests.toReversed()), cold.toReversed())
            assert.deepEqual(await answers(evicting, requests), cold)
            assert.equal(evicting.service.status().fixedTokensReusedTotal, 0)
          } finally {
            await roomy.stop(0)
            await evicting.stop(0)
          }
        })
      }

      test(`${format}, ${method}: scores are those of the input in one run, but for rounding`, async () => {
        const service = await tinyService(tiny.base, { format })
        try {
          const [request] = requestsTo(service, method, FIXED)
          const { fixedTokens: _, ...whole } = request!
          const [apart, together] = [await collect(service, request!), await collect(service, whole)]
          assert.deepEqual({ ...apart[0], timing: 0, probabilities: 0, logits: 0 }, { ...together[0], timing: 0, probabilities: 0, logits: 0 })
          assert.equal(logits(apart).length, 2)
          for (const [label, logit] of logits(apart).entries()) assert.ok(Math.abs(logit - logits(together)[label]!) < 1e-3, `label ${label}: ${logit}, ${logits(together)[label]}`)
          // The ids in front are what tells: others give other scores.
          const other = await collect(service, { ...request!, inputIds: [...INPUT.slice(0, FIXED).reverse(), ...INPUT.slice(FIXED)] })
          assert.ok(Math.abs(logits(other)[0]! - logits(apart)[0]!) > 1e-3)
        } finally {
          await service.stop(0)
        }
      })
    }
  }

  test('a thousand first requests run them once; metrics tell what was saved', async () => {
    const service = await tinyService(tiny.base, { maxWaiting: 1000 })
    try {
      const registry = new Registry()
      measureReplicas(registry, () => [{ status: service.service.status() }])
      const metric = async (name: string): Promise<number> => Number(new RegExp(`^permafrost_inference_${name} (\\S+)$`, 'm').exec(await registry.metrics())?.[1])
      const [request] = requestsTo(service, 'prompt-tuning', FIXED)
      const all = await Promise.all(Array.from({ length: 1000 }, () => collect(service, request!)))
      assert.equal(new Set(all.map(events => JSON.stringify(untimed(events)))).size, 1)
      assert.deepEqual([await metric('fixed_tokens_prefilled_total'), await metric('fixed_tokens_reused_total')], [FIXED, 999 * FIXED])
      assert.deepEqual([await metric('prompt_compiles_total'), await metric('prompt_tokens_prefilled_total')], [1, 4])
    } finally {
      await service.stop(0)
    }
  })

  test('steps run only what is behind them', async () => {
    const service = await tinyService(tiny.base)
    try {
      const [request] = requestsTo(service, 'prefix-tuning', 300, input(310))
      const steps = async (): Promise<number> => {
        const before = service.service.status().stepsTotal
        await collect(service, request!)
        return service.service.status().stepsTotal - before
      }
      // Two chunks are compiled, one is run; then it is run alone.
      assert.deepEqual([await steps(), await steps()], [3, 1])
    } finally {
      await service.stop(0)
    }
  })

  test('a running sequence goes on while they are compiled', async () => {
    const service = await tinyService(tiny.base, { slots: 2, maxWaiting: 200 })
    try {
      const long = generate([1, 2], { maxTokens: 300 })
      const alone = untimed(await collect(service, long))
      let prefilledAtEnd = -1
      const running = collect(service, long).then(events => {
        prefilledAtEnd = service.service.status().fixedTokensPrefilledTotal
        return untimed(events)
      })
      const prompt = publish(service, 'prompt-tuning', [5, 9])
      const others = Array.from({ length: 20 }, (_, first) => collect(service, { ...classification([first, ...INPUT], prompt), fixedTokens: FIXED }))
      assert.deepEqual(await running, alone)
      assert.equal(prefilledAtEnd, 20 * FIXED)
      await Promise.all(others)
    } finally {
      await service.stop(0)
    }
  })

  test('what does not fit, leaves nothing to run, or belongs to nobody is refused before it runs', async () => {
    const service = await tinyService(tiny.base, { maxContext: 32 })
    try {
      const prompt = publish(service, 'prompt-tuning', [5, 9])
      const refused = async (request: SequenceRequest, fixedTokens: number, code: string, param: string): Promise<void> => {
        await assert.rejects(submit(service, { ...request, fixedTokens }), (error: unknown) => error instanceof ServiceError && error.code === code && error.param === param)
      }
      await refused(classification(INPUT, prompt), INPUT.length, 'invalid_request', 'fixedTokens')
      await refused(generate(INPUT), FIXED, 'invalid_request', 'fixedTokens')
      await refused(classification(input(40), prompt), 36, 'context_too_long', 'input')
      await refused(classification(input(29), prompt), 28, 'context_too_long', 'input')
      assert.equal(service.service.status().fixedTokensPrefilledTotal, 0)
      assert.equal((await collect(service, { ...classification(input(28), prompt), fixedTokens: 27 }))[0]!.type, 'scores')
    } finally {
      await service.stop(0)
    }
  })
})
