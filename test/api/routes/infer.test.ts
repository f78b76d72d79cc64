import assert from 'node:assert/strict'
import { after, before, beforeEach, suite, test } from 'node:test'
import { ServiceError } from '../../../src/errors.js'
import { byteTokenizer, END } from '../byte-tokenizer.js'
import { errorOf, type InferAnswer } from '../answers.js'
import { refuses, says, saysAndHangs, scores } from '../scripted-inference.js'
import { type Answer, base, type Caller, MAX_CONTEXT, openTestbed, refusal, type Testbed } from '../testbed.js'

suite('POST /v1/tasks/{task}/infer', () => {
  let bed: Testbed
  let caller: Caller
  let digest: string

  before(async () => {
    bed = await openTestbed()
    caller = await bed.caller()
    await caller.post('/v1/tasks', { name: 'sentiment', kind: 'classification', labels: ['negative', 'positive'], template: '{input}:' })
    await caller.post('/v1/tasks', { name: 'writer', kind: 'generation', template: '{input}>' })
    await caller.post('/v1/tasks', { name: 'pair', kind: 'classification', labels: ['yes', 'no'], template: '{premise}?{hypothesis}:' })
    digest = (await bed.publish(caller.tenant, 'sentiment')).digest
    await bed.publish(caller.tenant, 'writer')
    await bed.publish(caller.tenant, 'pair')
  })
  after(async () => await bed.close())
  beforeEach(() => {
    bed.inference.script = scores
    bed.inference.requests.length = 0
    bed.inference.cancelled.length = 0
  })

  async function ask (prompt: string, body: object): Promise<Answer<InferAnswer>> {
    return await caller.post<InferAnswer>(`/v1/tasks/${prompt}/infer`, body)
  }

  test('answers a classification with label, scores, usage and who answered', async () => {
    const answer = await ask('sentiment', { input: 'even', scores: true })
    assert.equal(answer.status, 200)
    const { id, timing_ms: timing, ...rest } = answer.body
    assert.match(id, /^inf_[0-9a-f]{24}$/)
    assert.deepEqual({ ...timing, total: 0 }, { queue: 1, prefill: 2, decode: 3, total: 0 })
    assert.deepEqual(rest, {
      task: 'sentiment', version: 1, digest, method: 'prefix-tuning', label: 'positive', scores: { negative: 0.25, positive: 0.75 },
      usage: { prompt_tokens: 5, virtual_tokens: 16, completion_tokens: 0 }
    })
    assert.deepEqual(bed.inference.requests, [{ id, tenant: caller.tenant, prompt: digest, inputIds: byteTokenizer.encode('even:'), work: { kind: 'classify' } }])
    assert.equal((await ask('sentiment', { input: 'odd' })).body.scores, undefined)
  })

  test('carries the weight that an operator gave the tenant; no body can', async () => {
    const other = await bed.caller()
    await other.post('/v1/tasks', { name: 'weighed', kind: 'classification', labels: ['a', 'b'], template: '{input}:' })
    await bed.publish(other.tenant, 'weighed')
    await bed.registry.setTenantWeight(other.tenant, 4)
    assert.equal((await other.post('/v1/tasks/weighed/infer', { input: 'a' })).status, 200)
    assert.equal((await ask('sentiment', { input: 'a' })).status, 200)
    assert.deepEqual(bed.inference.requests.map(({ tenant, weight }) => [tenant, weight]), [[other.tenant, 4], [caller.tenant, undefined]])
    assert.equal((await ask('sentiment', { input: 'a', weight: 9 })).status, 400)
  })

  test('takes an alias, a version number, and fields of a template', async () => {
    assert.equal((await ask('sentiment@production', { input: 'a' })).body.version, 1)
    assert.equal((await ask('sentiment@1', { input: 'a' })).body.version, 1)
    assert.equal((await ask('pair', { input: { premise: 'a', hypothesis: 'b' } })).status, 200)
    assert.deepEqual(bed.inference.requests.at(-1)?.inputIds, byteTokenizer.encode('a?b:'))
  })

  test('tells how many first tokens are those of the template, the same for each input and each kind of task', async () => {
    await caller.post('/v1/tasks', { name: 'instructed', kind: 'classification', labels: ['yes', 'no'], template: 'Is it so? {input}:' })
    await caller.post('/v1/tasks', { name: 'told', kind: 'generation', template: 'Say more: {input}>' })
    for (const task of ['instructed', 'told']) await bed.publish(caller.tenant, task)
    const { body } = await ask('instructed', { inputs: ['a', 'bc'] })
    assert.deepEqual(bed.inference.requests.map(({ inputIds, fixedTokens }) => [inputIds, fixedTokens]), ['a', 'bc'].map(input => [byteTokenizer.encode(`Is it so? ${input}:`), 'Is it so? '.length]))
    assert.equal(body.usage.prompt_tokens, 12 + 13)
    bed.inference.script = says('x')
    bed.inference.requests.length = 0
    await ask('told', { input: 'a', n: 2, temperature: 1 })
    await ask('told', { input: 'a', num_beams: 2 })
    await ask(base.name, { input: 'Say more: a' })
    assert.deepEqual(bed.inference.requests.map(({ fixedTokens }) => fixedTokens), [10, 10, 10, undefined])
  })

  test('generates text with the options that were asked for', async () => {
    bed.inference.script = says('grüße 😀', { virtualTokens: 16 })
    const answer = await ask('writer', { input: 'a', max_tokens: 40, temperature: 0.5, top_p: 0.9, top_k: 5, min_p: 0.1, seed: 7, stop: ['x'] })
    assert.equal(answer.status, 200)
    assert.deepEqual([answer.body.text, answer.body.finish_reason], ['grüße 😀', 'stop'])
    assert.deepEqual(answer.body.usage, { prompt_tokens: 2, virtual_tokens: 16, completion_tokens: 12 })
    assert.deepEqual(bed.inference.requests[0]?.work, {
      kind: 'generate', maxTokens: 40, stopTokenIds: [END], logprobs: null, sampling: { temperature: 0.5, topK: 5, topP: 0.9, minP: 0.1, seed: 7 }
    })
  })

  test('is greedy with 128 tokens when nothing is said', async () => {
    bed.inference.script = says('x'.repeat(200))
    const { body } = await ask('writer', { input: 'a' })
    assert.deepEqual([body.text?.length, body.finish_reason], [128, 'length'])
    const work = bed.inference.requests[0]?.work
    assert.ok(work?.kind === 'generate')
    assert.deepEqual({ ...work.sampling, seed: 0 }, { temperature: 0, topK: 0, topP: 1, minP: 0, seed: 0 })
  })

  test('gives log-probabilities of the tokens', async () => {
    bed.inference.script = says('ab', { logprobs: true })
    const { body } = await ask('writer', { input: 'a', logprobs: 2 })
    assert.deepEqual(body.logprobs, ['a', 'b'].map(token => ({ token, logprob: -0.5, top: [{ token, logprob: -0.5 }, { token: 'A', logprob: -1 }] })))
  })

  test('ends at a stop string split over tokens, and frees the slot', async () => {
    bed.inference.script = saysAndHangs('one two<stop>')
    const { body } = await ask('writer', { input: 'a', stop: ['never', '<stop>'] })
    assert.deepEqual([body.text, body.finish_reason], ['one two', 'stop'])
    assert.deepEqual(body.usage, { prompt_tokens: 2, virtual_tokens: 16, completion_tokens: 13 })
    assert.deepEqual(bed.inference.cancelled, [body.id])
  })

  test('gives what only looked like a stop string at the end', async () => {
    bed.inference.script = says('one <sto')
    assert.equal((await ask('writer', { input: 'a', stop: '<stop>' })).body.text, 'one <sto')
  })

  test('asks the bare base by its name, plain or through its chat template', async () => {
    bed.inference.script = says('fine')
    const plain = await ask(base.name, { input: 'hi' })
    assert.deepEqual([plain.body.text, plain.body.version, plain.body.method, plain.body.digest], ['fine', null, null, base.digest])
    assert.deepEqual([bed.inference.requests[0]?.prompt, bed.inference.requests[0]?.inputIds], [null, byteTokenizer.encode('hi')])
    await ask(base.name, { input: 'hi', chat: true })
    assert.deepEqual(bed.inference.requests[1]?.inputIds, byteTokenizer.encode('<begin>user: hi\nassistant:', { parseSpecial: true }))
  })

  test('answers many inputs in order, each with its own result or error', async () => {
    const answer = await ask('sentiment', { inputs: ['even', 'odd', '', 5, 'x'.repeat(MAX_CONTEXT), { wrong: 'a' }, 'odd'] })
    assert.equal(answer.status, 200)
    assert.deepEqual(answer.body.results?.map(result => result.label ?? [result.error?.code, result.error?.param]), [
      'positive', 'negative', ['empty_input', 'inputs/2'], ['invalid_request', 'inputs/3'], ['context_too_long', 'inputs/4'], ['invalid_request', 'inputs/5/wrong'], 'negative'
    ])
    assert.deepEqual(answer.body.usage, { prompt_tokens: 13, virtual_tokens: 48, completion_tokens: 0 })
    assert.equal(answer.body.version, 1)
  })

  test('takes 256 inputs and no more', async () => {
    const many = await ask('sentiment', { inputs: Array.from({ length: 256 }, (_, index) => 'x'.repeat(index % 3 + 1)) })
    assert.deepEqual(many.body.results?.map(result => result.label), Array.from({ length: 256 }, (_, index) => index % 3 === 1 ? 'positive' : 'negative'))
    assert.deepEqual(refusal(await ask('sentiment', { inputs: Array.from({ length: 257 }, () => 'x') })), { status: 400, code: 'invalid_request', param: 'inputs' })
  })

  test('says 503 with Retry-After when the inference process is away, for one and for many', async () => {
    bed.inference.script = refuses(new ServiceError('inference_unavailable', 'gone', { retryAfter: 2 }))
    for (const body of [{ input: 'a' }, { inputs: ['a', 'b'] }]) {
      const answer = await ask('sentiment', body)
      assert.deepEqual(refusal(answer), { status: 503, code: 'inference_unavailable', param: null })
      assert.equal(answer.headers['retry-after'], '2')
    }
    bed.inference.script = refuses(new ServiceError('saturated', 'full', { retryAfter: 0.2 }))
    const answer = await ask('writer', { input: 'a', stream: true })
    assert.deepEqual([answer.status, answer.headers['retry-after']], [503, '1'])
  })

  test('passes on what a sequence failed with', async () => {
    bed.inference.script = function * () { yield { type: 'failed', code: 'artifact_corrupt', message: 'bytes' } }
    assert.deepEqual(refusal(await ask('sentiment', { input: 'a' })), { status: 500, code: 'artifact_corrupt', param: null })
  })

  test('keeps its own mistakes to the log', async () => {
    bed.inference.script = refuses(new Error('secret detail'))
    const answer = await ask('sentiment', { input: 'a' })
    assert.deepEqual(refusal(answer), { status: 500, code: 'internal', param: null })
    assert.ok(!JSON.stringify(answer.body).includes('secret detail'))
    assert.ok(bed.log.some(line => line.includes('secret detail') && line.includes(errorOf(answer).request_id)))
  })

  test('refuses bad input with code and field', async () => {
    const sentiment = '/v1/tasks/sentiment/infer'
    const writer = '/v1/tasks/writer/infer'
    const cases: Array<[url: string, body: unknown, status: number, code: string, param: string | null]> = [
      [sentiment, {}, 400, 'invalid_request', 'input'],
      [sentiment, { input: 5 }, 400, 'invalid_request', 'input'],
      [sentiment, { input: { a: 1 } }, 400, 'invalid_request', 'input/a'],
      [sentiment, { input: '' }, 400, 'empty_input', 'input'],
      [sentiment, { input: ' \n' }, 400, 'empty_input', 'input'],
      [sentiment, { input: 'x'.repeat(MAX_CONTEXT - 16) }, 400, 'context_too_long', 'input'],
      [sentiment, { input: 'x'.repeat(MAX_CONTEXT * 16 + 1) }, 400, 'context_too_long', 'input'],
      [writer, { input: 'x'.repeat(MAX_CONTEXT - 17) }, 400, 'context_too_long', 'input'],
      [sentiment, { input: 'a', inputs: ['b'] }, 400, 'invalid_request', 'inputs'],
      [sentiment, { inputs: [] }, 400, 'invalid_request', 'inputs'],
      [sentiment, { input: 'a', n: 2 }, 400, 'invalid_request', 'n'],
      [sentiment, { input: 'a', ensembles: [1] }, 400, 'unknown_parameter', 'ensembles'],
      [sentiment, { input: 'a', max_tokens: 4 }, 400, 'invalid_request', 'max_tokens'],
      [sentiment, { input: 'a', stream: true }, 400, 'invalid_request', 'stream'],
      [sentiment, { input: 'a', chat: true }, 400, 'invalid_request', 'chat'],
      [writer, { input: 'a', scores: true }, 400, 'invalid_request', 'scores'],
      [writer, { input: 'a', max_tokens: 0 }, 400, 'invalid_request', 'max_tokens'],
      [writer, { input: 'a', max_tokens: '4' }, 400, 'invalid_request', 'max_tokens'],
      [writer, { input: 'a', max_tokens: 1.5 }, 400, 'invalid_request', 'max_tokens'],
      [writer, { input: 'a', temperature: -1 }, 400, 'invalid_request', 'temperature'],
      [writer, { input: 'a', top_p: 0 }, 400, 'invalid_request', 'top_p'],
      [writer, { input: 'a', stop: ['1', '2', '3', '4', '5', '6', '7', '8', '9'] }, 400, 'invalid_request', 'stop'],
      [writer, { input: 'a', stop: '' }, 400, 'invalid_request', 'stop'],
      [writer, { inputs: ['a'], stream: true }, 400, 'invalid_request', 'stream'],
      ['/v1/tasks/pair/infer', { input: 'a' }, 400, 'invalid_request', 'input'],
      ['/v1/tasks/pair/infer', { input: { premise: 'a' } }, 400, 'invalid_request', 'input/hypothesis'],
      [`/v1/tasks/${base.name}/infer`, { input: { a: 'b' } }, 400, 'invalid_request', 'input'],
      [`/v1/tasks/${base.name}/infer`, { input: 'a<begin>b', chat: true }, 400, 'invalid_request', 'input'],
      ['/v1/tasks/absent/infer', { input: 'a' }, 404, 'task_not_found', null],
      ['/v1/tasks/sentiment@absent/infer', { input: 'a' }, 404, 'alias_not_found', null],
      ['/v1/tasks/sentiment@9/infer', { input: 'a' }, 404, 'version_not_found', null]
    ]
    for (const [url, body, status, code, param] of cases) {
      const found = refusal(await caller.post(url, body))
      assert.deepEqual({ ...found, param: param === null ? null : found.param }, { status, code, param }, JSON.stringify(body).slice(0, 80))
    }
    assert.equal(bed.inference.requests.length, 0)
  })

  test('hides another tenant\'s task', async () => {
    const other = await bed.caller()
    const foreign = await other.post('/v1/tasks/sentiment/infer', { input: 'a' })
    const absent = await other.post('/v1/tasks/absent/infer', { input: 'a' })
    assert.deepEqual(refusal(foreign), refusal(absent))
    assert.equal(errorOf(foreign).message.replace('sentiment', 'X'), errorOf(absent).message.replace('absent', 'X'))
  })

  test('refuses a task of another base with both digests', async () => {
    const foreign = `sha256:${'0'.repeat(64)}` as const
    await bed.registry.createTask(caller.tenant, { name: 'foreign', description: '', base: foreign, spec: { kind: 'generation', template: '{input}', verbalizer: null }, createdAt: new Date().toISOString() })
    await bed.publish(caller.tenant, 'foreign')
    const answer = await ask('foreign', { input: 'a' })
    assert.deepEqual(refusal(answer), { status: 422, code: 'wrong_base', param: 'task' })
    assert.ok(errorOf(answer).message.includes(foreign) && errorOf(answer).message.includes(base.digest))
  })

  test('logs neither inputs nor keys', async () => {
    await ask('sentiment', { input: 'confidential words' })
    await caller.post('/v1/tasks/sentiment/infer', '{"input": "confidential', { 'content-type': 'application/json' })
    const log = bed.log.join('')
    assert.ok(log.includes('/v1/tasks/:task/infer'))
    assert.ok(!log.includes('confidential') && !log.includes(caller.secret))
  })
})
