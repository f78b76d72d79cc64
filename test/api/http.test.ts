import assert from 'node:assert/strict'
import { connect } from 'node:net'
import { PassThrough } from 'node:stream'
import { text } from 'node:stream/consumers'
import { after, before, suite, test } from 'node:test'
import { refuseMalformedHttp } from '../../src/api/errors.js'
import { errorOf, type Readiness } from './answers.js'
import { type Caller, openTestbed, refusal, type Testbed } from './testbed.js'

const json = { 'content-type': 'application/json' }

function expectRefused (received: string, status: number): void {
  assert.match(received, new RegExp(`^HTTP/1\\.1 ${status} `))
  assert.equal(errorOf({ body: JSON.parse(received.slice(received.indexOf('\r\n\r\n'))) }).code, 'invalid_request')
}

suite('HTTP', () => {
  let bed: Testbed
  let caller: Caller
  before(async () => {
    bed = await openTestbed()
    caller = await bed.caller()
  })
  after(async () => await bed.close())

  test('malformed JSON is invalid_json', async () => {
    for (const body of ['{', '', 'nope', '{"a":1}}', '{"__proto__": {"x": 1}, "name": "a"}']) {
      assert.deepEqual(refusal(await caller.post('/v1/tasks', body, json)), { status: 400, code: 'invalid_json', param: null }, body)
    }
  })

  test('other content types are refused', async () => {
    for (const type of ['text/plain', 'application/xml', 'multipart/form-data; boundary=x', 'application/jsonl', 'nonsense']) {
      assert.deepEqual(refusal(await caller.post('/v1/tasks', 'x', { 'content-type': type })).code, 'unsupported_media_type', type)
    }
  })

  test('a large body is refused', async () => {
    const body = JSON.stringify({ name: 'x', kind: 'generation', description: 'x'.repeat(2 * 1024 * 1024) })
    assert.deepEqual(refusal(await caller.post('/v1/tasks', body, json)), { status: 413, code: 'body_too_large', param: null })
  })

  test('a list or object longer than any route takes is refused before its members are looked at', async () => {
    const long = Array.from({ length: 50_000 }, () => 1)
    const wide = Object.fromEntries(long.map((one, i) => [`field${i}`, one]))
    const cases: Array<[url: string, body: object, param: string]> = [
      ['/v1/tasks', { name: 'x', kind: 'classification', labels: long }, 'labels'],
      ['/v1/tasks/x/infer', { input: 'x', stop: long }, 'stop'],
      ['/v1/tasks/x/infer', { input: wide }, 'input'],
      ['/v1/tasks/x/infer', { inputs: ['x', wide] }, 'inputs/1'],
      ['/v1/training-jobs', { method: { init: wide } }, 'method/init'],
      ['/v1/keys', { scopes: long.map((_, i) => `scope${i}`) }, 'scopes'],
      ['/v1/keys', wide, 'body']
    ]
    for (const [url, body, param] of cases) {
      const answer = await caller.post(url, body)
      assert.deepEqual(refusal(answer), { status: 400, code: 'invalid_request', param }, param)
      assert.match(errorOf(answer).message, /has \d+ members, limit 1000$/)
    }
  })

  test('unknown paths are route_not_found, whatever they carry', async () => {
    for (const [method, url] of [['GET', '/'], ['GET', '/v2/tasks'], ['POST', '/v1/task'], ['GET', '/v1/tasks/'], ['GET', '/v1/tasks//versions']] as const) {
      assert.deepEqual(refusal(await caller.send(method, url, method === 'POST' ? 'x' : undefined, { 'content-type': 'text/csv' })).code, 'route_not_found', url)
    }
    assert.equal((await caller.get('/v1/tasks/%E0%A4%A')).status, 400)
    assert.equal((await caller.get(`/v1/tasks/${'x'.repeat(1000)}`)).status, 404)
    assert.equal(refusal(await caller.get(`/v1/tasks/${'x'.repeat(400)}`)).code, 'task_not_found')
  })

  test('a known path with another method is method_not_allowed with Allow', async () => {
    const answer = await caller.send('DELETE', '/v1/tasks')
    assert.deepEqual([refusal(answer), answer.headers.allow], [{ status: 405, code: 'method_not_allowed', param: null }, 'GET, HEAD, POST'])
    assert.equal((await caller.send('PUT', '/v1/tasks/x/infer', 'x', { 'content-type': 'text/csv' })).headers.allow, 'POST')
    assert.equal((await caller.get('/v1/tasks/x/aliases/y/rollback')).headers.allow, 'POST')
  })

  test('unknown query parameters are refused by name', async () => {
    assert.deepEqual(refusal(await caller.get('/v1/tasks?limit=1')), { status: 400, code: 'unknown_parameter', param: 'limit' })
    assert.deepEqual(refusal(await caller.get('/v1/training-jobs?after=x')), { status: 400, code: 'unknown_parameter', param: 'after' })
  })

  async function answerTo (bytes: string): Promise<string> {
    const { port } = new URL(await bed.listen())
    return await new Promise<string>((resolve, reject) => {
      const socket = connect(Number(port), '127.0.0.1', () => socket.write(bytes))
      let text = ''
      socket.on('data', data => { text += data.toString() })
      socket.on('end', () => resolve(text))
      socket.on('error', reject)
    })
  }

  test('bytes that are not HTTP, or too many headers, get an error body', async () => {
    expectRefused(await answerTo('NONSENSE\r\n\r\n'), 400)
    expectRefused(await answerTo(`GET /healthz HTTP/1.1\r\nhost: x\r\nx-long: ${'x'.repeat(20_000)}\r\n\r\n`), 431)
  })

  test('a request has ten minutes to arrive, then the connection ends with 408', async () => {
    assert.equal(bed.app.server.requestTimeout, 600_000)
    const socket = new PassThrough()
    refuseMalformedHttp(Object.assign(new Error('Request timeout'), { code: 'ERR_HTTP_REQUEST_TIMEOUT' }), socket)
    expectRefused(await text(socket), 408)
  })

  test('every answer carries a request id, and each request is one log line without its path', async () => {
    const answer = await caller.get('/v1/tasks/some-private-name')
    const id = answer.headers['x-request-id'] ?? ''
    assert.match(id, /^req_[0-9a-f]{24}$/)
    const lines = bed.log.filter(line => line.includes(id)).map(line => JSON.parse(line))
    assert.equal(lines.length, 1)
    const [{ route, status, method, tenant, ms }] = lines
    assert.deepEqual({ route, status, method, tenant }, { route: '/v1/tasks/:task', status: 404, method: 'GET', tenant: caller.tenant })
    assert.equal(typeof ms, 'number')
    assert.ok(!JSON.stringify(lines).includes('some-private-name'))
  })

  test('Redis away is registry_unavailable with Retry-After, and mends itself', async () => {
    const other = await openTestbed()
    const alone = await other.caller()
    await other.redis.kill9()
    const answer = await alone.get('/v1/tasks')
    assert.deepEqual([refusal(answer).status, refusal(answer).code], [503, 'registry_unavailable'])
    assert.ok(Number(answer.headers['retry-after']) >= 1)
    assert.equal((await alone.get('/healthz')).status, 200)
    const ready = await alone.get<Readiness>('/readyz')
    assert.deepEqual([ready.status, ready.body.checks.redis, ready.body.checks.inference], [503, 'registry_unavailable', 'ok'])
    await other.redis.restart()
    while ((await alone.get('/readyz')).status !== 200) await new Promise(setImmediate)
    assert.equal((await alone.get('/v1/tasks')).status, 200)
    await other.close()
  })
})

suite('the service\'s own routes', () => {
  let bed: Testbed
  let caller: Caller
  before(async () => {
    bed = await openTestbed()
    caller = await bed.caller()
  })
  after(async () => await bed.close())

  const open = { authorization: '' }

  test('/healthz and /readyz need no key', async () => {
    assert.equal((await caller.get<{ status: string }>('/healthz', open)).body.status, 'ok')
    assert.deepEqual((await caller.get('/readyz', open)).body, { status: 'ready', checks: { redis: 'ok', store: 'ok', inference: 'ok' } })
  })

  test('/readyz says which part is missing', async () => {
    for (const [property, inference] of [['ready', 'starting'], ['answers', 'inference_unavailable']] as const) {
      bed.inference[property] = false
      const answer = await caller.get('/readyz', open)
      bed.inference[property] = true
      assert.deepEqual([answer.status, answer.headers['retry-after'], answer.body], [503, '1', { status: 'not_ready', checks: { redis: 'ok', store: 'ok', inference } }])
    }
  })

  test('/metrics counts requests by route, never by name', async () => {
    await caller.get('/v1/tasks/some-private-name')
    const { headers, body } = await caller.get<string>('/metrics', open)
    assert.match(headers['content-type'] ?? '', /^text\/plain/)
    assert.match(body, /permafrost_http_request_duration_seconds_count\{route="\/v1\/tasks\/:task",method="GET",status="404"\} 1/)
    assert.match(body, /^permafrost_inference_replicas 1$/m)
    assert.match(body, /^permafrost_inference_up\{replica="unix:\/one.sock"\} 1$/m)
    assert.match(body, /^permafrost_inference_tokens_total\{replica="unix:\/one.sock"\} 9$/m)
    assert.match((await caller.get<string>('/metrics', open)).body, /^permafrost_inference_tokens_total\{replica="unix:\/one.sock"\} 9$/m, 'a scrape adds nothing')
    assert.ok(!body.includes('some-private-name'))
  })
})
