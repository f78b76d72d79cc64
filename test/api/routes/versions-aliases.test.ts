import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { after, before, suite, test } from 'node:test'
import type { Alias, AliasMove, List, Version } from '../answers.js'
import { type Caller, openTestbed, refusal, type Testbed } from '../testbed.js'

suite('versions and aliases of a task', () => {
  let bed: Testbed
  let caller: Caller
  let other: Caller
  const aliases = '/v1/tasks/writer/aliases'

  before(async () => {
    bed = await openTestbed()
    caller = await bed.caller()
    other = await bed.caller()
    await caller.post('/v1/tasks', { name: 'writer', kind: 'generation' })
    for (let number = 1; number <= 3; number++) await bed.publish(caller.tenant, 'writer')
  })
  after(async () => await bed.close())

  test('lists versions and shows one', async () => {
    const { body } = await caller.get<List<Version>>('/v1/tasks/writer/versions')
    assert.deepEqual(body.data.map(version => version.version).sort(), [1, 2, 3])
    const one = await caller.get<Version>('/v1/tasks/writer/versions/2')
    const { created_at: _, digest, ...rest } = one.body
    assert.match(digest, /^sha256:[0-9a-f]{64}$/)
    assert.deepEqual(rest, { version: 2, method: 'prefix-tuning', num_virtual_tokens: 16, metrics: { accuracy: 0.9 }, job: null })
  })

  test('hands the artifact out as a tar file', async () => {
    const url = `${await bed.listen()}/v1/tasks/writer/versions/2/artifact`
    const response = await fetch(url, { headers: { authorization: `Bearer ${caller.secret}` } })
    assert.deepEqual([response.status, response.headers.get('content-type'), response.headers.get('content-disposition')], [200, 'application/x-tar', 'attachment; filename="writer-2.tar"'])
    const listed = spawnSync('tar', ['-tf', '-'], { input: Buffer.from(await response.arrayBuffer()) })
    assert.equal(listed.stdout.toString(), 'writer-2/permafrost.json\n')
  })

  test('an unknown version, task, and another tenant\'s are not found', async () => {
    for (const [url, code] of [
      ['/v1/tasks/writer/versions/9', 'version_not_found'], ['/v1/tasks/writer/versions/0', 'version_not_found'], ['/v1/tasks/writer/versions/two', 'version_not_found'],
      ['/v1/tasks/writer/versions/9/artifact', 'version_not_found'], ['/v1/tasks/absent/versions', 'task_not_found'], ['/v1/tasks/absent/aliases', 'task_not_found'],
      [`${aliases}/absent`, 'alias_not_found'], [`${aliases}/absent/history`, 'alias_not_found']
    ] as const) assert.deepEqual([refusal(await caller.get(url)).code, url], [code, url])
    for (const url of ['/v1/tasks/writer/versions', '/v1/tasks/writer/versions/1', '/v1/tasks/writer/versions/1/artifact', aliases, `${aliases}/production`]) {
      assert.deepEqual([(await other.get(url)).status, url], [404, url])
    }
    assert.equal(refusal(await other.send('PUT', `${aliases}/production`, { version: 1 })).code, 'task_not_found')
    assert.equal((await other.post(`${aliases}/production/rollback`)).status, 404)
  })

  test('moves an alias only when nobody moved it meanwhile', async () => {
    const seen = await caller.get<Alias>(`${aliases}/production`)
    assert.deepEqual([seen.body.version, seen.headers.etag], [3, `"${seen.body.etag}"`])
    const moved = await caller.send<Alias>('PUT', `${aliases}/production`, { version: 1 }, { 'if-match': seen.headers.etag ?? '' })
    assert.deepEqual([moved.status, moved.body.version], [200, 1])
    assert.notEqual(moved.headers.etag, seen.headers.etag)
    const late = await caller.send('PUT', `${aliases}/production`, { version: 2 }, { 'if-match': seen.headers.etag ?? '' })
    assert.deepEqual([refusal(late).status, refusal(late).code, late.headers.etag], [412, 'alias_moved', moved.headers.etag])
    assert.equal((await caller.get<Alias>(`${aliases}/production`)).body.version, 1)
  })

  test('rolls back, and tells where it pointed', async () => {
    await caller.send('PUT', `${aliases}/staging`, { version: 2 })
    await caller.send('PUT', `${aliases}/staging`, { version: 3 })
    const back = await caller.post<Alias>(`${aliases}/staging/rollback`)
    assert.deepEqual([back.status, back.body.version], [200, 2])
    const { body } = await caller.get<List<AliasMove>>(`${aliases}/staging/history`)
    assert.deepEqual(body.data.map(({ from, to }) => [from, to]), [[3, 2], [2, 3], [null, 2]])
    assert.ok(body.data.every(({ by }) => by.startsWith('key_')))
    assert.deepEqual((await caller.get<List<Alias>>(aliases)).body.data.map(({ alias }) => alias).sort(), ['production', 'staging'])
  })

  test('refuses bad moves with code and field', async () => {
    const put = async (alias: string, body: object, headers?: Record<string, string>) => refusal(await caller.send('PUT', `${aliases}/${alias}`, body, headers))
    assert.deepEqual(await put('production', {}), { status: 400, code: 'invalid_request', param: 'version' })
    assert.deepEqual(await put('production', { version: '1' }), { status: 400, code: 'invalid_request', param: 'version' })
    assert.deepEqual(await put('production', { weights: { 1: 50 } }), { status: 400, code: 'unknown_parameter', param: 'weights' })
    assert.deepEqual(await put('7', { version: 1 }), { status: 400, code: 'invalid_request', param: 'alias' })
    assert.deepEqual(await put('production', { version: 1 }, { 'if-match': '*, x' }), { status: 400, code: 'invalid_request', param: 'if-match' })
    assert.equal((await put('production', { version: 9 })).code, 'version_not_found')
    assert.equal(refusal(await caller.send('PUT', '/v1/tasks/absent/aliases/production', { version: 1 })).code, 'task_not_found')
    assert.equal(refusal(await caller.post(`${aliases}/absent/rollback`)).code, 'alias_not_found')
  })
})
