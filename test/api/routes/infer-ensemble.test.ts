import assert from 'node:assert/strict'
import { after, before, beforeEach, suite, test } from 'node:test'
import { Value } from '@sinclair/typebox/value'
import { ServiceError } from '../../../src/errors.js'
import { InferAnswerSchema } from '../../../src/api/infer/outcome.js'
import type { VersionRecord } from '../../../src/registry/registry.js'
import type { InferEvent } from '../answers.js'
import { refuses, says, saysAndHangs, type Script, scores } from '../scripted-inference.js'
import { receivedEvents } from '../server-sent-events.js'
import { type Caller, openTestbedWithTasks, refusal, type Testbed } from '../testbed.js'

const head = (versions: readonly VersionRecord[]): object => ({
  version: null, digest: null, method: null, ensemble: versions.map(({ number, digest, method }) => ({ version: number, digest, method }))
})

suite('POST /v1/tasks/{task}/infer: ensembles', () => {
  let bed: Testbed
  let caller: Caller
  /** By number from 1. */
  let writers: VersionRecord[]
  let sentiments: VersionRecord[]

  before(async () => {
    ({ bed, caller } = await openTestbedWithTasks({ template: '{input}>' }))
    for (const task of ['writer', 'writer', 'sentiment']) await bed.publish(caller.tenant, task)
    writers = await bed.registry.listVersions(caller.tenant, 'writer')
    sentiments = await bed.registry.listVersions(caller.tenant, 'sentiment')
  })
  after(async () => await bed.close())
  beforeEach(() => {
    bed.inference.script = says('four', { virtualTokens: 48, logprobs: true })
    bed.inference.requests.length = 0
    bed.inference.cancelled.length = 0
  })

  async function ask (task: string, body: object, script?: Script): Promise<typeof InferAnswerSchema.static> {
    if (script !== undefined) bed.inference.script = script
    const answer = await caller.post(`/v1/tasks/${task}/infer`, { input: 'ab', ...body })
    const found: unknown = answer.body
    assert.equal(answer.status, 200, JSON.stringify(found))
    assert.ok(Value.Check(InferAnswerSchema, found))
    return found
  }

  async function tokens (kind: string): Promise<number> {
    const { body } = await bed.app.inject({ url: '/metrics' })
    return Number(new RegExp(`^permafrost_tokens_total\\{kind="${kind}"\\} (\\d+)$`, 'm').exec(body)?.[1] ?? 0)
  }

  test('answer a generation in one request, say who answered, and what all of them cost', async () => {
    const before = [await tokens('prompt'), await tokens('completion')]
    const { id, timing_ms, ...rest } = await ask('writer', { ensemble: [3, 1, 2], max_tokens: 9, logprobs: 1 })
    assert.deepEqual({ ...timing_ms, total: 0 }, { queue: 1, prefill: 2, decode: 3, total: 0 })
    assert.deepEqual({ ...rest, logprobs: rest.logprobs?.length }, {
      task: 'writer', ...head(writers), text: 'four', finish_reason: 'stop', logprobs: 4, usage: { prompt_tokens: 9, virtual_tokens: 48, completion_tokens: 12 }
    })
    const [request, ...others] = bed.inference.requests
    assert.equal(others.length, 0)
    assert.deepEqual([request?.id, request?.tenant, [request?.prompt, ...request?.ensemble ?? []], request?.inputIds.length], [id, caller.tenant, writers.map(({ digest }) => digest), 3])
    assert.deepEqual([await tokens('prompt'), await tokens('completion')].map((count, index) => count - before[index]!), [9, 12])
  })

  test('answer a classification', async () => {
    const { task, label, scores: probabilities, usage, ensemble } = await ask('sentiment', { ensemble: [1, 2], scores: true }, scores)
    assert.deepEqual([task, label, probabilities, usage], ['sentiment', 'b', { a: 0.25, b: 0.75 }, { prompt_tokens: 18, virtual_tokens: 16, completion_tokens: 0 }])
    assert.deepEqual({ version: null, digest: null, method: null, ensemble }, head(sentiments))
  })

  test('need no production alias, and do not care where it points', async () => {
    await caller.post('/v1/tasks', { name: 'unaliased', kind: 'generation' })
    for (let index = 0; index < 2; index++) {
      await bed.registry.publishVersion(caller.tenant, 'unaliased', { digest: writers[index]!.digest, method: 'prefix-tuning', numVirtualTokens: 16, metrics: {}, job: null, alias: null, by: 'test' })
    }
    assert.deepEqual((await ask('unaliased', { ensemble: [1, 2] })).ensemble?.map(({ version }) => version), [1, 2])
  })

  test('take many inputs, several samples and stop strings', async () => {
    const many = await ask('writer', { input: undefined, inputs: ['a', '', 'c'], ensemble: [1, 2], temperature: 1, n: 2 })
    assert.deepEqual(many.results?.map(result => result.choices?.length ?? result.error?.code), [2, 'empty_input', 2])
    assert.deepEqual(many.usage, { prompt_tokens: 2 * 2 * 2 * 2, virtual_tokens: 4 * 48, completion_tokens: 4 * 2 * 4 })
    assert.deepEqual(many.ensemble?.map(({ version }) => version), [1, 2])
    const stopped = await ask('writer', { ensemble: [1, 3], stop: 'ur' }, saysAndHangs('four'))
    assert.deepEqual([stopped.text, stopped.finish_reason, stopped.usage], ['fo', 'stop', { prompt_tokens: 6, virtual_tokens: 32, completion_tokens: 8 }])
    assert.equal(bed.inference.cancelled.length, 1)
  })

  test('are streamed, and say at the start who answers', async () => {
    const response = await fetch(`${await bed.listen()}/v1/tasks/writer/infer`, {
      method: 'POST',
      headers: { authorization: `Bearer ${caller.secret}`, 'content-type': 'application/json' },
      body: JSON.stringify({ input: 'ab', ensemble: [1, 2, 3], stream: true })
    })
    const events: InferEvent[] = []
    for await (const event of receivedEvents<InferEvent>(response)) events.push(event)
    const [start, last] = [events[0], events.at(-1)]
    assert.ok(start?.event === 'start' && last?.event === 'finished')
    const { id, task, ...who } = start.data
    assert.deepEqual([id.slice(0, 4), task, who], ['inf_', 'writer', head(writers)])
    assert.deepEqual(last.data.usage, { prompt_tokens: 9, virtual_tokens: 48, completion_tokens: 12 })
  })

  test('pass on what the engine refuses by name', async () => {
    bed.inference.script = refuses(new ServiceError('invalid_request', '3 members, this service runs 2 rows at once', { param: 'ensemble' }))
    assert.deepEqual(refusal(await caller.post('/v1/tasks/writer/infer', { input: 'a', ensemble: [1, 2, 3] })), { status: 400, code: 'invalid_request', param: 'ensemble' })
  })

  test('are refused by name where they mean nothing', async () => {
    const cases: Array<[task: string, body: object]> = [
      ['writer@production', { ensemble: [1, 2] }], ['writer@2', { ensemble: [1, 2] }], ['tiny-base', { ensemble: [1, 2] }],
      ['writer', { ensemble: [1] }], ['writer', { ensemble: [] }], ['writer', { ensemble: [1, 1] }], ['writer', { ensemble: [1, 2, 3, 4, 5, 6, 7, 8, 9] }],
      ['writer', { ensemble: 2 }], ['writer', { ensemble: [1, 2], num_beams: 2 }]
    ]
    for (const [task, body] of cases) assert.deepEqual(refusal(await caller.post(`/v1/tasks/${task}/infer`, { input: 'a', ...body })), { status: 400, code: 'invalid_request', param: 'ensemble' }, JSON.stringify([task, body]))
    for (const member of [0, 1.5, 'production']) {
      assert.deepEqual(refusal(await caller.post('/v1/tasks/writer/infer', { input: 'a', ensemble: [1, member] })), { status: 400, code: 'invalid_request', param: 'ensemble/1' })
    }
    assert.equal(bed.inference.requests.length, 0)
  })

  test('of versions that do not exist, or are another tenant\'s, do not exist', async () => {
    assert.deepEqual(refusal(await caller.post('/v1/tasks/writer/infer', { input: 'a', ensemble: [1, 4] })), { status: 404, code: 'version_not_found', param: 'ensemble' })
    const stranger = await bed.caller()
    assert.deepEqual(refusal(await stranger.post('/v1/tasks/writer/infer', { input: 'a', ensemble: [1, 2] })), { status: 404, code: 'task_not_found', param: 'task' })
    await stranger.post('/v1/tasks', { name: 'writer', kind: 'generation' })
    await bed.publish(stranger.tenant, 'writer')
    assert.deepEqual(refusal(await stranger.post('/v1/tasks/writer/infer', { input: 'a', ensemble: [1, 2] })), { status: 404, code: 'version_not_found', param: 'ensemble' })
    assert.equal(bed.inference.requests.length, 0)
  })

  test('have the room that the longest prompt leaves', async () => {
    const long = await bed.registry.publishVersion(caller.tenant, 'writer', { digest: writers[0]!.digest, method: 'prefix-tuning', numVirtualTokens: 60, metrics: {}, job: null, alias: null, by: 'test' })
    assert.deepEqual(refusal(await caller.post('/v1/tasks/writer/infer', { input: 'abc', ensemble: [1, long.number] })), { status: 400, code: 'context_too_long', param: 'input' })
    assert.equal((await ask('writer', { input: 'ab', ensemble: [1, long.number] })).text, 'four')
  })
})
