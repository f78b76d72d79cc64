import assert from 'node:assert/strict'
import { after, before, suite, test } from 'node:test'
import { SCOPES } from '../../../src/registry/registry.js'
import { errorOf, type Key, type List, type NewKey } from '../answers.js'
import { openTestbed, refusal, type Testbed } from '../testbed.js'

suite('/v1/keys', () => {
  let bed: Testbed
  before(async () => { bed = await openTestbed() })
  after(async () => await bed.close())

  test('makes a key whose secret is shown once, lists and revokes it', async () => {
    const admin = await bed.caller({ scopes: ['admin'] })
    const made = await admin.post<NewKey>('/v1/keys', { name: 'for the app', scopes: ['infer', 'train'] })
    assert.equal(made.status, 201)
    const { secret, ...shown } = made.body
    assert.deepEqual([shown.name, shown.scopes], ['for the app', ['infer', 'train']])
    const listed = await admin.get<List<Key>>('/v1/keys')
    assert.deepEqual(listed.body.data.find(key => key.id === shown.id), shown)
    assert.ok(!JSON.stringify(listed.body).includes(secret))

    const asNew = { authorization: `Bearer ${secret}` }
    assert.equal((await admin.get('/v1/tasks', asNew)).status, 200)
    const gone = await admin.send('DELETE', `/v1/keys/${shown.id}`)
    assert.deepEqual([gone.status, gone.body], [204, ''])
    assert.deepEqual(refusal(await admin.get('/v1/tasks', asNew)), { status: 401, code: 'invalid_api_key', param: 'authorization' })
    assert.equal(refusal(await admin.send('DELETE', `/v1/keys/${shown.id}`)).code, 'key_not_found')
  })

  test('reaches keys of its own tenant only', async () => {
    const [one, other] = [await bed.caller({ scopes: ['admin'] }), await bed.caller({ scopes: ['admin'] })]
    const { body } = await one.post<NewKey>('/v1/keys', { name: 'mine', scopes: ['infer'] })
    assert.equal(refusal(await other.send('DELETE', `/v1/keys/${body.id}`)).code, 'key_not_found')
    assert.ok(!(await other.get<List<Key>>('/v1/keys')).body.data.some(key => key.id === body.id))
  })

  test('refuses bad bodies, and to remember the answer', async () => {
    const admin = await bed.caller({ scopes: ['admin'] })
    assert.deepEqual(refusal(await admin.post('/v1/keys', { name: 'x', scopes: ['root'] })), { status: 400, code: 'invalid_request', param: 'scopes/0' })
    assert.deepEqual(refusal(await admin.post('/v1/keys', { name: 'x', scopes: [] })), { status: 400, code: 'invalid_request', param: 'scopes' })
    assert.deepEqual(refusal(await admin.post('/v1/keys', { name: 'x', scopes: ['infer'], tenant: 'other' })), { status: 400, code: 'unknown_parameter', param: 'tenant' })
    assert.deepEqual(refusal(await admin.post('/v1/keys', { name: 'x', scopes: ['infer'] }, { 'idempotency-key': 'k' })), { status: 400, code: 'invalid_request', param: 'idempotency-key' })
  })

  test('each scope opens its own routes', async () => {
    const routes: Array<[method: string, url: string, opens: readonly string[]]> = [
      ['GET', '/v1/keys', ['admin']],
      ['GET', '/v1/bases', ['infer', 'train', 'publish']],
      ['GET', '/v1/tasks', ['infer', 'train', 'publish']],
      ['POST', '/v1/tasks', ['train']],
      ['GET', '/v1/tasks/t/versions', ['infer', 'train', 'publish']],
      ['GET', '/v1/tasks/t/versions/1/artifact', ['train', 'publish']],
      ['GET', '/v1/files', ['train']],
      ['POST', '/v1/training-jobs', ['train']],
      ['PUT', '/v1/tasks/t/aliases/production', ['publish']],
      ['POST', '/v1/tasks/t/infer', ['infer']]
    ]
    for (const scope of SCOPES) {
      const caller = await bed.caller({ scopes: [scope] })
      for (const [method, url, opens] of routes) {
        const answer = await caller.send(method, url, method === 'GET' ? undefined : {})
        if (opens.includes(scope)) {
          assert.notEqual(answer.status, 403, `${scope} ${method} ${url}`)
        } else {
          assert.deepEqual(refusal(answer), { status: 403, code: 'insufficient_scope', param: 'authorization' }, `${scope} ${method} ${url}`)
          assert.ok(errorOf(answer).message.includes(opens.join(' or ')))
        }
      }
    }
  })

  test('no key, a malformed and an unknown one are 401', async () => {
    const caller = await bed.caller()
    for (const authorization of ['', 'pf_x', 'Basic abc', 'Bearer sk-1', 'Bearer pf_', `Bearer pf_${'A'.repeat(43)}`]) {
      const answer = await caller.get('/v1/tasks', { authorization })
      assert.deepEqual(refusal(answer), { status: 401, code: 'invalid_api_key', param: 'authorization' })
      assert.equal(answer.headers['www-authenticate'], 'Bearer')
    }
  })
})
