import assert from 'node:assert/strict'
import { after, before, suite, test } from 'node:test'
import { RecipeRequestSchema } from '../../../src/training/job.js'
import type { File, Job, List } from '../answers.js'
import { type ReceivedJobEvent, receivedEvents } from '../server-sent-events.js'
import { type Answer, type Caller, openTestbed, refusal, type Testbed } from '../testbed.js'

const rows = Array.from({ length: 40 }, (_, index) => JSON.stringify({ input: `text ${index}`, target: index % 2 === 0 ? 'no' : 'yes', label: index % 2 })).join('\n')

const step = (number: number) => ({ type: 'step', step: number, steps: 2, loss: 1 / number, learning_rate: 0.1, grad_norm: 1, tokens_per_second: 10, eta_seconds: 1 }) as const

suite('/v1/training-jobs', () => {
  let bed: Testbed
  let caller: Caller
  let file: string

  before(async () => {
    bed = await openTestbed()
    caller = await bed.caller()
    await caller.post('/v1/tasks', { name: 'yesno', kind: 'classification', labels: ['no', 'yes'] })
    await caller.post('/v1/tasks', { name: 'writer', kind: 'generation' })
    await caller.post('/v1/tasks', { name: 'pair', kind: 'generation', template: '{a} {b}' })
    file = await upload(rows)
  })
  after(async () => await bed.close())

  async function upload (content: string, as: Caller = caller): Promise<string> {
    const { body, status } = await as.post<File>('/v1/files', content, { 'content-type': 'application/jsonl' })
    assert.equal(status, 201)
    return body.id
  }

  async function follow (job: string, lastEventId?: string) {
    const response = await fetch(`${await bed.listen()}/v1/training-jobs/${job}/events`, {
      headers: { authorization: `Bearer ${caller.secret}`, ...(lastEventId === undefined ? {} : { 'last-event-id': lastEventId }) }
    })
    assert.equal(response.headers.get('content-type'), 'text/event-stream; charset=utf-8')
    return receivedEvents<ReceivedJobEvent>(response)
  }

  async function make (body: object, headers?: Record<string, string>): Promise<Answer<Job>> {
    return await caller.post<Job>('/v1/training-jobs', body, headers)
  }

  test('accepts a job and shows the completed recipe', async () => {
    const made = await make({ task: 'yesno', training_file: file })
    assert.equal(made.status, 202)
    const { id, method, recipe, created_at: _, ...rest } = made.body
    assert.match(id, /^job_/)
    assert.deepEqual(rest, { state: 'queued', task: 'yesno', training_file: file, validation_file: null, publish: { alias: 'production' }, version: null, error: null, finished_at: null })
    assert.deepEqual(method, { type: 'prefix-tuning', num_virtual_tokens: 16, init: { type: 'text' } })
    assert.deepEqual(Object.keys(recipe).sort(), Object.keys(RecipeRequestSchema.properties).sort())
    assert.deepEqual((await caller.get(`/v1/training-jobs/${id}`)).body, made.body)
    assert.ok((await caller.get<List<Job>>('/v1/training-jobs')).body.data.some(job => job.id === id))
  })

  test('takes method, recipe, validation file and alias', async () => {
    const made = await make({
      task: 'yesno', training_file: file, validation_file: file, publish: { alias: 'staging' },
      method: { type: 'prompt-tuning', num_virtual_tokens: 5, init: { type: 'text', text: 'Say yes or no.' } }, recipe: { max_steps: 3, seed: 9 }
    })
    assert.equal(made.status, 202)
    assert.deepEqual([made.body.publish, made.body.validation_file], [{ alias: 'staging' }, file])
    assert.deepEqual(made.body.method, { type: 'prompt-tuning', num_virtual_tokens: 5, init: { type: 'text', text: 'Say yes or no.' } })
    assert.deepEqual([made.body.recipe.max_steps, made.body.recipe.seed], [3, 9])
    assert.equal((await make({ task: 'writer', training_file: file, publish: false })).body.publish, false)
  })

  test('a single row is enough to write', async () => {
    assert.equal((await make({ task: 'writer', training_file: await upload('{"input":"a","target":"b"}') })).status, 202)
  })

  test('refuses bad requests with code and field', async () => {
    const good = { task: 'yesno', training_file: file }
    const cases: Array<[body: object, status: number, code: string, param: string | null]> = [
      [{ training_file: file }, 400, 'invalid_request', 'task'],
      [{ ...good, method: { type: 'lora' } }, 400, 'invalid_request', 'method/type'],
      [{ ...good, method: { type: 'prefix-tuning', num_virtual_tokens: 0 } }, 400, 'invalid_request', 'method/num_virtual_tokens'],
      [{ ...good, method: { type: 'prefix-tuning', num_virtual_tokens: '8' } }, 400, 'invalid_request', 'method/num_virtual_tokens'],
      [{ ...good, method: { type: 'prefix-tuning', num_virtual_tokens: 60 } }, 400, 'invalid_request', 'method/num_virtual_tokens'],
      [{ ...good, method: { type: 'prefix-tuning', init: { type: 'text', texts: 'a' } } }, 400, 'unknown_parameter', 'method/init/texts'],
      [{ ...good, method: { type: 'prefix-tuning', init: { type: 'magic' } } }, 400, 'invalid_request', 'method/init/type'],
      [{ ...good, recipe: { lr: 1 } }, 400, 'unknown_parameter', 'recipe/lr'],
      [{ ...good, recipe: { learning_rate: -1 } }, 400, 'invalid_request', 'recipe/learning_rate'],
      [{ ...good, publish: true }, 400, 'invalid_request', 'publish'],
      [{ ...good, publish: { alais: 'x' } }, 400, 'unknown_parameter', 'publish/alais'],
      [{ ...good, publish: { alias: 'NO' } }, 400, 'invalid_request', 'publish/alias'],
      [{ ...good, seeds: 3 }, 400, 'unknown_parameter', 'seeds'],
      [{ ...good, task: 'absent' }, 404, 'task_not_found', null],
      [{ ...good, training_file: 'file_absent' }, 404, 'file_not_found', null],
      [{ ...good, validation_file: 'file_absent' }, 404, 'file_not_found', null]
    ]
    for (const [body, status, code, param] of cases) {
      const found = refusal(await make(body))
      assert.deepEqual({ ...found, param: param === null ? null : found.param }, { status, code, param }, JSON.stringify(body))
    }
  })

  test('checks the rows for the task', async () => {
    const other = `${rows}\n{"input":"a","target":"maybe"}`
    assert.deepEqual(refusal(await make({ task: 'yesno', training_file: await upload(other) })), { status: 422, code: 'unknown_label', param: 'label', line: 41 })
    assert.deepEqual(refusal(await make({ task: 'yesno', training_file: file, validation_file: await upload(other) })), { status: 422, code: 'unknown_label', param: 'label', line: 41 })
    const same = await upload('{"input":"a","label":"yes"}\n{"input":"b","label":"yes"}')
    assert.deepEqual(refusal(await make({ task: 'yesno', training_file: same })), { status: 422, code: 'one_label', param: 'training_file' })
    assert.equal((await make({ task: 'yesno', training_file: file, validation_file: same })).status, 202)
    assert.deepEqual(refusal(await make({ task: 'writer', training_file: await upload('{"input":"a","target":"b"}\n{"input":"b","label":"yes"}') })), { status: 422, code: 'bad_line', param: 'target', line: 2 })
    assert.deepEqual(refusal(await make({ task: 'pair', training_file: await upload('{"input":{"a":"1","b":"2"},"target":"b"}\n{"input":{"a":"1"},"target":"b"}') })), { status: 422, code: 'bad_line', param: 'input/b', line: 2 })
  })

  test('another tenant\'s task, file and job do not exist', async () => {
    const other = await bed.caller()
    const { body } = await make({ task: 'yesno', training_file: file })
    await other.post('/v1/tasks', { name: 'yesno', kind: 'classification', labels: ['no', 'yes'] })
    assert.equal(refusal(await other.post('/v1/training-jobs', { task: 'writer', training_file: file })).code, 'task_not_found')
    assert.equal(refusal(await other.post('/v1/training-jobs', { task: 'yesno', training_file: file })).code, 'file_not_found')
    assert.equal(refusal(await other.get(`/v1/training-jobs/${body.id}`)).code, 'job_not_found')
    assert.equal(refusal(await other.get(`/v1/training-jobs/${body.id}/events`)).code, 'job_not_found')
    assert.equal(refusal(await other.post(`/v1/training-jobs/${body.id}/cancel`)).code, 'job_not_found')
  })

  test('a repeated POST with its Idempotency-Key is one job', async () => {
    const body = { task: 'yesno', training_file: file }
    const [first, second] = [await make(body, { 'idempotency-key': 'job-1' }), await make(body, { 'idempotency-key': 'job-1' })]
    assert.deepEqual([second.status, second.body], [202, first.body])
    assert.equal(refusal(await make({ ...body, publish: false }, { 'idempotency-key': 'job-1' })).code, 'idempotency_conflict')
  })

  test('cancels once', async () => {
    const { body } = await make({ task: 'yesno', training_file: file })
    const cancelled = await caller.post<Job>(`/v1/training-jobs/${body.id}/cancel`)
    assert.deepEqual([cancelled.status, cancelled.body.state], [200, 'cancelled'])
    const again = refusal(await caller.post(`/v1/training-jobs/${body.id}/cancel`))
    assert.deepEqual([again.status, again.code], [409, 'job_not_cancellable'])
    assert.equal(refusal(await caller.post('/v1/training-jobs/job_absent/cancel')).code, 'job_not_found')
    // Many clients send the header with no body behind it; a body with fields is refused.
    assert.equal((await caller.post(`/v1/training-jobs/${body.id}/cancel`, '', { 'content-type': 'application/json' })).status, 409)
    assert.deepEqual(refusal(await caller.post(`/v1/training-jobs/${body.id}/cancel`, { force: true })), { status: 400, code: 'unknown_parameter', param: 'force' })
  })

  test('a task with an open job is in use', async () => {
    await caller.post('/v1/tasks', { name: 'busy', kind: 'generation' })
    const { body } = await make({ task: 'busy', training_file: file })
    assert.equal(refusal(await caller.send('DELETE', '/v1/tasks/busy')).code, 'task_in_use')
    await caller.post(`/v1/training-jobs/${body.id}/cancel`)
    assert.equal((await caller.send('DELETE', '/v1/tasks/busy')).status, 204)
  })

  suite('events', () => {
    test('arrive as they happen and end with the job; a reconnected client goes on behind its last one', async () => {
      const { body } = await make({ task: 'yesno', training_file: file })
      const seen: Array<{ id: string | null, event: string }> = []
      for await (const event of await follow(body.id)) {
        seen.push({ id: event.id, event: event.event })
        if (seen.length === 1) {
          assert.deepEqual(event.data, { type: 'state', state: 'queued' })
          await bed.registry.setJobState(caller.tenant, body.id, 'running')
        }
        if (event.data.type === 'state' && event.data.state === 'running') await bed.registry.appendJobEvent(caller.tenant, body.id, step(1))
        if (event.event === 'step') {
          assert.deepEqual(event.data, step(1))
          await bed.registry.setJobState(caller.tenant, body.id, 'succeeded')
        }
      }
      assert.deepEqual(seen.map(({ event }) => event), ['state', 'state', 'step', 'state'])

      const rest = []
      for await (const event of await follow(body.id, seen[1]?.id ?? '')) rest.push({ id: event.id, event: event.event })
      assert.deepEqual(rest, seen.slice(2))
    })

    test('a malformed Last-Event-ID is refused', async () => {
      const { body } = await make({ task: 'yesno', training_file: file })
      for (const id of ['first', '99999999999999999999-0']) {
        assert.deepEqual(refusal(await caller.get(`/v1/training-jobs/${body.id}/events`, { 'last-event-id': id })), { status: 400, code: 'invalid_request', param: 'last-event-id' }, id)
      }
      assert.equal(refusal(await caller.get('/v1/training-jobs/job_absent/events')).code, 'job_not_found')
    })
  })

  test('following an unfinished job does not keep the service from stopping', async () => {
    const other = await openTestbed()
    const follower = await other.caller()
    await follower.post('/v1/tasks', { name: 'writer', kind: 'generation' })
    const { body: { id: training } } = await follower.post<File>('/v1/files', rows, { 'content-type': 'application/jsonl' })
    const { body } = await follower.post<Job>('/v1/training-jobs', { task: 'writer', training_file: training })
    const response = await fetch(`${await other.listen()}/v1/training-jobs/${body.id}/events`, { headers: { authorization: `Bearer ${follower.secret}` } })
    const events = receivedEvents(response)
    await events.next()
    await other.close()
    assert.equal((await events.next()).done, true)
  })
})
