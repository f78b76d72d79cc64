import assert from 'node:assert/strict'
import { after, before, beforeEach, suite, test } from 'node:test'
import { ServiceError } from '../../../src/errors.js'
import type { InferAnswer, Task } from '../answers.js'
import { refuses, says } from '../scripted-inference.js'
import { base, type Caller, openTestbedWithTasks, refusal, type Testbed } from '../testbed.js'

const SCHEMA = { type: 'object', properties: { z: { type: 'string' }, a: { type: 'integer', minimum: 0 } }, required: ['z'] }

suite('structured output over HTTP', () => {
  let bed: Testbed
  let caller: Caller

  before(async () => {
    ({ bed, caller } = await openTestbedWithTasks())
    assert.equal((await caller.post('/v1/tasks', { name: 'extract', kind: 'generation', output: { json_schema: SCHEMA } })).status, 201)
    await bed.publish(caller.tenant, 'extract')
  })
  after(async () => await bed.close())
  beforeEach(() => {
    bed.inference.script = says('{"z":"x"}')
    bed.inference.requests.length = 0
  })

  async function outputOf (task: string, body: object = {}): Promise<unknown> {
    const answer = await caller.post<InferAnswer>(`/v1/tasks/${task}/infer`, { input: 'a', ...body })
    assert.equal(answer.status, 200, JSON.stringify(answer.body))
    const work = bed.inference.requests.at(-1)?.work
    assert.ok(work?.kind === 'generate')
    return work.output
  }

  test('a task shows its output as it was given, and keeps it when its description changes', async () => {
    const { body } = await caller.get<Task>('/v1/tasks/extract')
    // The order of properties is that of the answers.
    assert.equal(JSON.stringify(body.output), JSON.stringify({ json_schema: SCHEMA }))
    const changed = await caller.send<Task>('PATCH', '/v1/tasks/extract', { description: 'new' })
    assert.equal(JSON.stringify(changed.body.output), JSON.stringify({ json_schema: SCHEMA }))
    assert.ok(!('output' in (await caller.get<Task>('/v1/tasks/writer')).body))
  })

  test('every answer of the task has it: one, many, samples and a stream', async () => {
    assert.equal(JSON.stringify(await outputOf('extract')), JSON.stringify({ json_schema: SCHEMA }))
    assert.deepEqual(await outputOf('extract', { n: 2, temperature: 1, stop: ['"}'] }), { json_schema: SCHEMA })
    assert.deepEqual(await outputOf('extract', { stream: true }), { json_schema: SCHEMA })
    await caller.post('/v1/tasks/extract/infer', { inputs: ['a', 'b'] })
    assert.deepEqual(bed.inference.requests.slice(-2).map(({ work }) => work.kind === 'generate' && work.output), [{ json_schema: SCHEMA }, { json_schema: SCHEMA }])
  })

  test('a request brings its own where the task has none, the base too', async () => {
    assert.deepEqual(await outputOf('writer', { output: { choices: ['yes', 'no'] } }), { choices: ['yes', 'no'] })
    assert.deepEqual(await outputOf(base.name, { output: { regex: '\\d+' } }), { regex: '\\d+' })
    assert.equal(await outputOf('writer'), undefined)
  })

  test('is refused by name where it cannot be', async () => {
    const cases: Array<[task: string, body: object, param: string]> = [
      ['extract', { output: { choices: ['yes'] } }, 'output'],
      ['extract', { num_beams: 2 }, 'num_beams'],
      ['writer', { output: { choices: ['yes'] }, num_beams: 2 }, 'output'],
      ['sentiment', { output: { choices: ['yes'] } }, 'output'],
      ['writer', { output: {} }, 'output'],
      ['writer', { output: { choices: ['yes'], regex: 'a' } }, 'output'],
      ['writer', { output: { choices: [] } }, 'output/choices'],
      ['writer', { output: { regex: 5 } }, 'output/regex'],
      ['writer', { output: { json_schema: { enum: ['x'.repeat(33_000)] } } }, 'output']
    ]
    for (const [task, body, param] of cases) {
      assert.deepEqual(refusal(await caller.post(`/v1/tasks/${task}/infer`, { input: 'a', ...body })), { status: 400, code: 'invalid_request', param }, JSON.stringify(body).slice(0, 100))
    }
    assert.equal(bed.inference.requests.length, 0)
    assert.deepEqual(refusal(await caller.post('/v1/tasks/writer/infer', { input: 'a', output: { grammar: 'x' } })), { status: 400, code: 'unknown_parameter', param: 'output/grammar' })
  })

  test('what the engine refuses to compile is passed on with its place', async () => {
    bed.inference.script = refuses(new ServiceError('invalid_request', 'look-ahead', { param: 'output/regex' }))
    assert.deepEqual(refusal(await caller.post('/v1/tasks/writer/infer', { input: 'a', output: { regex: '(?=a)' } })), { status: 400, code: 'invalid_request', param: 'output/regex' })
    assert.deepEqual(refusal(await caller.post('/v1/tasks/writer/infer', { input: 'a', stream: true, output: { regex: '(?=a)' } })), { status: 400, code: 'invalid_request', param: 'output/regex' })
  })

  test('a task is not made with one that is not understood or too expensive', async () => {
    const cases: Array<[output: object, param: string]> = [
      [{ json_schema: { type: 'string', format: 'date' } }, 'output/json_schema/format'],
      [{ json_schema: { type: 'object', properties: { a: { oneOf: [] } } } }, 'output/json_schema/properties/a/oneOf'],
      [{ regex: '(a|b)*a(a|b){20}' }, 'output/regex'],
      [{ choices: ['a', 'a'] }, 'output/choices/1'],
      [{ choices: ['a'], regex: 'a' }, 'output']
    ]
    for (const [output, param] of cases) {
      assert.deepEqual(refusal(await caller.post('/v1/tasks', { name: 'bad', kind: 'generation', output })), { status: 400, code: 'invalid_request', param })
    }
    assert.deepEqual(refusal(await caller.post('/v1/tasks', { name: 'bad', kind: 'classification', labels: ['a', 'b'], output: { choices: ['a', 'b'] } })), { status: 400, code: 'invalid_request', param: 'output' })
    assert.equal(refusal(await caller.get('/v1/tasks/bad')).code, 'task_not_found')
  })
})
