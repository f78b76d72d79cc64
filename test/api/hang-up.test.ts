import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer, get, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { suite, test } from 'node:test'
import type { FastifyReply } from 'fastify'
import { hangUpSignal } from '../../src/api/hang-up.js'

/** What `look` sees of one request. */
async function atRequest<T> (look: (response: ServerResponse) => Promise<T>): Promise<T> {
  const server = createServer()
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const request = get({ host: '127.0.0.1', port: (server.address() as AddressInfo).port, agent: false }, response => response.resume())
  request.on('error', () => {})
  try {
    const [, response] = await once(server, 'request') as [unknown, ServerResponse]
    return await look(response)
  } finally {
    request.destroy()
    server.close()
  }
}

const signalOf = (response: ServerResponse): AbortSignal => hangUpSignal({ raw: response } as FastifyReply)

suite('hangUpSignal()', () => {
  test('fires when the connection closes, and has fired when it had closed before', async () => {
    const [early, late] = await atRequest(async response => {
      const early = signalOf(response)
      response.socket!.destroy()
      await once(response, 'close')
      return [early.aborted, signalOf(response).aborted]
    })
    assert.deepEqual([early, late], [true, true])
  })

  test('stays silent when the whole answer went out', async () => {
    const signal = await atRequest(async response => {
      const signal = signalOf(response)
      response.end('answer')
      await once(response, 'close')
      return signal
    })
    assert.equal(signal.aborted, false)
  })
})
