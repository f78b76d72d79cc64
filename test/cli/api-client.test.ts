import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { after, before, beforeEach, suite, test } from 'node:test'
import { ApiClient, ApiError, type ServerEvent, UnreachableError } from '../../src/cli/api-client.js'

function refuse (response: ServerResponse, status: number, error: object, headers: Record<string, string> = {}): void {
  response.writeHead(status, { 'content-type': 'application/json', ...headers }).end(JSON.stringify({ error }))
}

suite('ApiClient', () => {
  let server: Server
  let client: ApiClient
  let answer: (request: IncomingMessage, response: ServerResponse) => void
  let requests: IncomingMessage[]
  before(async () => {
    server = createServer((request, response) => {
      requests.push(request)
      answer(request, response)
    })
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    client = new ApiClient(`http://127.0.0.1:${(server.address() as AddressInfo).port}/`, 'pf_key')
  })
  after(() => { server.closeAllConnections(); server.close() })
  beforeEach(() => { requests = [] })

  test('sends the key, and shows a refusal as code: message (param)', async () => {
    answer = (_request, response) => refuse(response, 404, { code: 'task_not_found', message: 'there is no such task', param: 'task' })
    await assert.rejects(client.get('/v1/tasks/x'), (error: Error) => error instanceof ApiError && error.message === 'task_not_found: there is no such task (task)')
    assert.equal(requests[0]?.headers.authorization, 'Bearer pf_key')
    assert.equal(requests[0]?.url, '/v1/tasks/x')
  })

  test('asks again after Retry-After of a 503', async () => {
    answer = (_request, response) => requests.length === 1 ? refuse(response, 503, { code: 'starting', message: '' }, { 'retry-after': '0.01' }) : response.end('{"ok":true}')
    assert.deepEqual(await client.post('/v1/x', {}), { ok: true })
    assert.equal(requests.length, 2)
  })

  test('follows events over a lost connection, behind the last one that came', async () => {
    answer = (request, response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' })
      if (request.headers['last-event-id'] === undefined) {
        response.write(':\n\nid: 1-0\nevent: step\ndata: {"n":1}\n\nid: 2-0\nevent: st', () => response.destroy())
      } else {
        response.end('id: 2-0\nevent: step\ndata: {"n":2}\n\nid: 3-0\nevent: state\ndata: {"n":3}\n\n')
      }
    }
    const events: ServerEvent[] = []
    for await (const event of client.follow('/events', ({ event }) => event === 'state')) events.push(event)
    assert.deepEqual(events.map(({ id, event, data }) => [id, event, data]), [['1-0', 'step', { n: 1 }], ['2-0', 'step', { n: 2 }], ['3-0', 'state', { n: 3 }]])
    assert.equal(requests[1]?.headers['last-event-id'], '1-0')
  })

  test('says what to do when nobody answers', async () => {
    await assert.rejects(new ApiClient('http://127.0.0.1:1', 'pf_key').get('/v1/tasks'),
      (error: Error) => error instanceof UnreachableError && error.message === 'no Permafrost answers at http://127.0.0.1:1 (start one with npm start, or set PERMAFROST_URL)')
  })
})
