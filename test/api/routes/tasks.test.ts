import assert from 'node:assert/strict'
import { after, before, suite, test } from 'node:test'
import type { Base, List, Task } from '../answers.js'
import { type Answer, base, type Caller, openTestbed, refusal, type Testbed } from '../testbed.js'

suite('/v1/tasks', () => {
  let bed: Testbed
  let caller: Caller
  before(async () => {
    bed = await openTestbed()
    caller = await bed.caller()
  })
  after(async () => await bed.close())

  test('makes a classification task with label vectors and a token for each label', async () => {
    const made = await caller.post<Task>('/v1/tasks', { name: 'sentiment', kind: 'classification', labels: ['negative', 'positive'], description: 'films' })
    assert.equal(made.status, 201)
    const { labels, created_at: createdAt, ...rest } = made.body
    assert.deepEqual(rest, { name: 'sentiment', description: 'films', kind: 'classification', template: '{input}\nLabel:', verbalizer: 'vectors', base: base.digest })
    assert.ok(Date.parse(createdAt) > 0)
    assert.deepEqual(labels?.map(label => label.name), ['negative', 'positive'])
    assert.equal(new Set(labels?.map(label => label.token_id)).size, 2)
    assert.deepEqual((await caller.get('/v1/tasks/sentiment')).body, made.body)
  })

  test('makes a generation task, changes its description, lists and deletes it', async () => {
    const made = await caller.post<Task>('/v1/tasks', { name: 'writer', kind: 'generation' })
    assert.deepEqual([made.body.template, made.body.verbalizer, made.body.labels, made.body.description], ['{input}\n', null, null, ''])
    const changed = await caller.send('PATCH', '/v1/tasks/writer', { description: 'better' })
    assert.deepEqual(changed.body, { ...made.body, description: 'better' })
    assert.ok((await caller.get<List<Task>>('/v1/tasks')).body.data.some(task => task.name === 'writer'))
    assert.equal((await caller.send('DELETE', '/v1/tasks/writer')).status, 204)
    assert.deepEqual(refusal(await caller.get('/v1/tasks/writer')), { ...refusal(await caller.get('/v1/tasks/absent')) })
    assert.equal(refusal(await caller.get('/v1/tasks/writer')).code, 'task_not_found')
  })

  test('takes tokens as the verbalizer and a template of its own', async () => {
    const made = await caller.post<Task>('/v1/tasks', { name: 'pair', kind: 'classification', labels: ['a', 'b'], verbalizer: 'tokens', template: '{{x}} {premise} / {hypothesis}:' })
    assert.deepEqual([made.body.verbalizer, made.body.template], ['tokens', '{{x}} {premise} / {hypothesis}:'])
  })

  test('refuses bad definitions with code and field', async () => {
    const good = { name: 'x', kind: 'classification', labels: ['a', 'b'] }
    const cases: Array<[body: unknown, status: number, code: string, param: string | null]> = [
      [{ ...good, name: undefined }, 400, 'invalid_request', 'name'],
      [{ ...good, name: 'has space' }, 400, 'invalid_request', 'name'],
      [{ ...good, name: 'a@b' }, 400, 'invalid_request', 'name'],
      [{ ...good, name: base.name }, 400, 'invalid_request', 'name'],
      [{ ...good, kind: 'cloze' }, 400, 'invalid_request', 'kind'],
      [{ ...good, labels: undefined }, 400, 'invalid_request', 'labels'],
      [{ ...good, labels: [] }, 400, 'invalid_request', 'labels'],
      [{ ...good, labels: ['a'] }, 422, 'one_label', 'labels'],
      [{ ...good, labels: ['a', 'b', 'a'] }, 400, 'invalid_request', 'labels/2'],
      [{ ...good, labels: ['a', ' '] }, 400, 'invalid_request', 'labels/1'],
      [{ ...good, labels: ['a', 5] }, 400, 'invalid_request', 'labels/1'],
      [{ ...good, verbalizer: 'words' }, 400, 'invalid_request', 'verbalizer'],
      [{ ...good, template: 'no field' }, 400, 'invalid_request', 'template'],
      [{ ...good, template: '{open' }, 400, 'invalid_request', 'template'],
      [{ ...good, kind: 'generation' }, 400, 'invalid_request', 'labels'],
      [{ name: 'x', kind: 'generation', verbalizer: 'tokens' }, 400, 'invalid_request', 'verbalizer'],
      [{ ...good, lables: [] }, 400, 'unknown_parameter', 'lables'],
      [[], 400, 'invalid_request', 'body'],
      ['"text"', 400, 'invalid_request', 'body']
    ]
    for (const [body, status, code, param] of cases) {
      assert.deepEqual(refusal(await caller.post('/v1/tasks', body, { 'content-type': 'application/json' })), { status, code, param }, JSON.stringify(body))
    }
    assert.deepEqual(refusal(await caller.send('PATCH', '/v1/tasks/pair', { template: '{x}' })), { status: 400, code: 'unknown_parameter', param: 'template' })
  })

  test('a name is taken once per tenant, and others do not see it', async () => {
    const other = await bed.caller()
    const body = { name: 'shared', kind: 'generation' }
    assert.equal((await caller.post('/v1/tasks', body)).status, 201)
    assert.deepEqual(refusal(await caller.post('/v1/tasks', body)), { status: 409, code: 'task_exists', param: 'name' })
    assert.equal(refusal(await other.get('/v1/tasks/shared')).code, 'task_not_found')
    assert.equal(refusal(await other.send('PATCH', '/v1/tasks/shared', { description: 'mine' })).code, 'task_not_found')
    assert.equal(refusal(await other.send('DELETE', '/v1/tasks/shared')).code, 'task_not_found')
    assert.equal((await other.post('/v1/tasks', body)).status, 201)
    assert.equal((await caller.get<Task>('/v1/tasks/shared')).body.description, '')
  })

  test('a repeated POST with its Idempotency-Key gets the first answer', async () => {
    const body = { name: 'once', kind: 'generation' }
    const headers = { 'idempotency-key': 'make-once' }
    const first = await caller.post('/v1/tasks', body, headers)
    const second = await caller.post('/v1/tasks', body, headers)
    assert.deepEqual([second.status, second.body], [201, first.body])
    assert.deepEqual(refusal(await caller.post('/v1/tasks', { ...body, name: 'twice' }, headers)).code, 'idempotency_conflict')
    assert.deepEqual(refusal(await caller.post('/v1/tasks', body, { 'idempotency-key': 'x'.repeat(300) })), { status: 400, code: 'invalid_request', param: 'idempotency-key' })
  })

  test('while the first POST is being answered, the repeated one is told when to come back', async () => {
    const body = { name: 'slow', kind: 'generation' }
    const headers = { 'idempotency-key': 'make-slow' }
    const { createTask } = bed.registry
    const repeated = new Promise<Answer>(resolve => {
      bed.registry.createTask = async (...args) => {
        resolve(await caller.post('/v1/tasks', body, headers))
        await createTask.apply(bed.registry, args)
      }
    })
    const first = await caller.post('/v1/tasks', body, headers)
    bed.registry.createTask = createTask
    const answer = await repeated
    assert.deepEqual([refusal(answer), answer.headers['retry-after']], [{ status: 409, code: 'idempotency_conflict', param: 'idempotency-key' }, '1'])
    assert.equal(first.status, 201)
  })

  test('a refused POST frees its Idempotency-Key', async () => {
    const headers = { 'idempotency-key': 'second-try' }
    assert.equal(refusal(await caller.post('/v1/tasks', { name: 'once', kind: 'generation' }, headers)).code, 'task_exists')
    assert.equal((await caller.post('/v1/tasks', { name: 'once-more', kind: 'generation' }, headers)).status, 201)
  })
})

suite('/v1/bases', () => {
  let bed: Testbed
  before(async () => { bed = await openTestbed() })
  after(async () => await bed.close())

  test('shows the frozen LM', async () => {
    const caller = await bed.caller()
    const { body: { data: [shown, ...more] } } = await caller.get<List<Base>>('/v1/bases')
    assert.deepEqual(more, [])
    assert.deepEqual([shown?.name, shown?.digest, shown?.max_context, shown?.licence], [base.name, base.digest, 64, 'Apache-2.0'])
    assert.deepEqual((await caller.get(`/v1/bases/${base.name}`)).body, shown)
    assert.deepEqual((await caller.get(`/v1/bases/${base.digest}`)).body, shown)
    assert.deepEqual(refusal(await caller.get('/v1/bases/gpt-5')), { status: 404, code: 'base_not_found', param: 'base' })
  })
})
