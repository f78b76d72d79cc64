import assert from 'node:assert/strict'
import { after, before, beforeEach, suite, test } from 'node:test'
import { Value } from '@sinclair/typebox/value'
import { ServiceError } from '../../../src/errors.js'
import { InferAnswerSchema } from '../../../src/api/infer/outcome.js'
import type { SequenceRequest } from '../../../src/inference/protocol.js'
import { says, saysAndHangs } from '../scripted-inference.js'
import { type Caller, openTestbedWithTasks, refusal, type Testbed } from '../testbed.js'

function sampleOf ({ work }: SequenceRequest): number {
  assert.ok(work.kind === 'generate')
  return work.sampling.sample ?? -1
}

suite('POST /v1/tasks/{task}/infer: several samples', () => {
  const url = '/v1/tasks/writer/infer'
  let bed: Testbed
  let caller: Caller

  before(async () => { ({ bed, caller } = await openTestbedWithTasks()) })
  after(async () => await bed.close())
  beforeEach(() => {
    bed.inference.script = (request, signal) => says('x'.repeat(sampleOf(request) + 1), { virtualTokens: 16, logprobs: true })(request, signal)
    bed.inference.requests.length = 0
    bed.inference.cancelled.length = 0
  })

  async function ask (body: object): Promise<typeof InferAnswerSchema.static> {
    const answer = await caller.post(url, { input: 'ab', temperature: 1, ...body })
    assert.equal(answer.status, 200)
    const found: unknown = answer.body
    assert.ok(Value.Check(InferAnswerSchema, found))
    return found
  }

  test('are answered as choices in their order, with one seed and the sum of what they cost', async () => {
    const answer = await ask({ n: 5, seed: 7 })
    assert.deepEqual(answer.choices, ['x', 'xx', 'xxx', 'xxxx', 'xxxxx'].map(text => ({ text, finish_reason: 'stop' as const, logprobs: [...text].map(token => ({ token, logprob: -0.5, top: [{ token, logprob: -0.5 }, { token: 'A', logprob: -1 }] })) })))
    assert.deepEqual([answer.text, answer.finish_reason, answer.logprobs], [undefined, undefined, undefined])
    const prompt = bed.inference.requests[0]!.inputIds.length
    assert.deepEqual(answer.usage, { prompt_tokens: 5 * prompt, virtual_tokens: 80, completion_tokens: 15 })
    const sent = bed.inference.requests.map(request => ({ id: request.id, sample: sampleOf(request), seed: request.work.kind === 'generate' && request.work.sampling.seed }))
    assert.deepEqual(sent.sort((a, b) => a.sample - b.sample), [0, 1, 2, 3, 4].map(sample => ({ id: `${answer.id}-${sample}`, sample, seed: 7 })))
  })

  test('without a seed share one that is drawn', async () => {
    await ask({ n: 3 })
    const seeds = new Set(bed.inference.requests.map(({ work }) => work.kind === 'generate' ? work.sampling.seed : null))
    assert.equal(seeds.size, 1)
  })

  test('of many inputs are choices of each', async () => {
    const answer = await ask({ input: undefined, inputs: ['a', '', 'c'], n: 2 })
    assert.deepEqual(answer.results?.map(result => result.choices?.map(choice => choice.text) ?? result.error?.code), [['x', 'xx'], 'empty_input', ['x', 'xx']])
    assert.equal(answer.usage.completion_tokens, 6)
  })

  test('one is an answer as without n', async () => {
    bed.inference.script = says('fine')
    const answer = await ask({ n: 1, temperature: 0 })
    assert.deepEqual([answer.text, answer.choices], ['fine', undefined])
    assert.equal(sampleOf(bed.inference.requests[0]!), -1)
  })

  test('that fail fail the call, and the others are cancelled', async () => {
    bed.inference.script = (request, signal) => {
      if (sampleOf(request) === 1) throw new ServiceError('saturated', 'full', { retryAfter: 3 })
      return saysAndHangs('never ends')(request, signal)
    }
    const answer = await caller.post(url, { input: 'a', temperature: 1, n: 2 })
    assert.deepEqual(refusal(answer), { status: 503, code: 'saturated', param: null })
    assert.equal(answer.headers['retry-after'], '3')
    assert.equal(bed.inference.cancelled.length, 2)
  })

  test('are refused by name where they mean nothing', async () => {
    for (const [task, body] of [['writer', { n: 0 }], ['writer', { n: 17, temperature: 1 }], ['writer', { n: 2 }], ['writer', { n: 2, temperature: 1, stream: true }], ['sentiment', { n: 2 }]] as const) {
      assert.deepEqual(refusal(await caller.post(`/v1/tasks/${task}/infer`, { input: 'a', ...body })), { status: 400, code: 'invalid_request', param: 'n' }, JSON.stringify(body))
    }
    assert.equal(bed.inference.requests.length, 0)
  })
})
