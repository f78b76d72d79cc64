/** The client against the server, over a real socket, with a backend that the test plays. */
import assert from 'node:assert/strict'
import { EventEmitter, once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { connect, type AddressInfo } from 'node:net'
import type { Server } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, afterEach, beforeEach, suite, test } from 'node:test'
import { pino } from 'pino'
import { ServiceError } from '../../src/errors.js'
import { HttpInferenceClient } from '../../src/inference/client.js'
import { inferenceAddress, type InferenceAddress } from '../../src/inference/client-address.js'
import type { SequenceEvent, SequenceRequest, StatusReport } from '../../src/inference/protocol.js'
import { createInferenceServer, type Backend } from '../../src/inference/server.js'
import { digestOf } from '../../src/digest.js'
import { generate } from './tiny-service.js'

const STATUS: StatusReport = {
  ready: true, base: digestOf('base'), servingGraph: digestOf('graph'), format: 'w8a8', engine: 'c-api', maxContext: 64, slots: 2,
  running: 1, waiting: 0, promptsCached: 3, promptCacheBytes: 100, stepsTotal: 7, tokensTotal: 5
}
const FINISHED: SequenceEvent = { type: 'finished', reason: 'stop', virtualTokens: 0, timing: { queueMs: 0, prefillMs: 1, decodeMs: 2 } }
const token = (id: number): SequenceEvent => ({ type: 'token', id })
const unavailable = (error: unknown): boolean => error instanceof ServiceError && error.code === 'inference_unavailable' && error.retryAfter === 2
const never = new AbortController().signal

suite('inference client and server', () => {
  let folder: string
  let server: Server
  let address: InferenceAddress
  let client: HttpInferenceClient
  let submit: Backend['submit']
  const folders: string[] = []

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'permafrost-http-'))
    folders.push(folder)
    server = createInferenceServer(() => ({ status: () => STATUS, submit: (...args) => submit(...args) }), pino({ level: 'silent' }))
    address = { socketPath: join(folder, 'inference.sock') }
    await new Promise<void>(resolve => server.listen({ path: join(folder, 'inference.sock') }, resolve))
    client = new HttpInferenceClient(address)
  })
  afterEach(async () => {
    await client.close()
    server.closeAllConnections()
    await new Promise(resolve => server.close(resolve))
  })
  after(async () => { for (const each of folders) await rm(each, { recursive: true, force: true }) })

  const all = async (request: SequenceRequest = generate([1]), signal = never): Promise<SequenceEvent[]> => {
    const events = []
    for await (const event of client.run(request, signal)) events.push(event)
    return events
  }

  test('events arrive as they were sent, while the sequence runs', async () => {
    const said = new EventEmitter()
    let received: SequenceRequest | undefined
    submit = async (request, _signal, emit) => {
      received = request
      emit(token(1))
      void once(said, 'more').then(() => { emit(token(2)); emit(FINISHED) })
    }
    const request = generate([4, 5], { maxTokens: 3 })
    const events = client.run(request, never)
    assert.deepEqual((await events.next()).value, token(1))
    said.emit('more')
    assert.deepEqual((await events.next()).value, token(2))
    assert.deepEqual((await events.next()).value, FINISHED)
    assert.equal((await events.next()).done, true)
    assert.deepEqual(received, request)
  })

  test('a finished sequence gives its connection back', async () => {
    const connections = new Set<unknown>()
    server.on('connection', socket => connections.add(socket))
    submit = async (_request, _signal, emit) => emit(FINISHED)
    for (let i = 0; i < 5; i++) {
      assert.deepEqual(await all(), [FINISHED])
      // The end of the response is one more turn of the loop away.
      await new Promise(resolve => setImmediate(resolve))
    }
    assert.equal(connections.size, 1)
  })

  test('refusals are the errors they were', async () => {
    submit = async () => { throw new ServiceError('saturated', '2 run and 9 wait, limit 9', { retryAfter: 4 }) }
    await assert.rejects(all(), (error: unknown) => error instanceof ServiceError && error.code === 'saturated' && error.retryAfter === 4 && error.message === '2 run and 9 wait, limit 9')
    submit = async () => { throw new ServiceError('context_too_long', 'too long', { param: 'input' }) }
    await assert.rejects(all(), (error: unknown) => error instanceof ServiceError && error.code === 'context_too_long' && error.param === 'input' && error.retryAfter === undefined)
    submit = async () => { throw new Error('a secret of ours') }
    await assert.rejects(all(), (error: unknown) => error instanceof ServiceError && error.code === 'internal' && !error.message.includes('secret'))
  })

  test('requests that do not follow the protocol are refused with the field', async () => {
    submit = async () => assert.fail('reached the backend')
    const wrong = [
      [{ ...generate([1]), extra: 1 }, 'extra'], [generate([]), 'inputIds'], [generate([1.5]), 'inputIds/0'], [generate([-1]), 'inputIds/0'],
      [{ ...generate([1]), prompt: 'sha256:1' }, 'prompt'], [generate([1], { maxTokens: 0 }), 'work'], [{}, 'id']
    ] as const
    for (const [request, param] of wrong) {
      await assert.rejects(all(request as unknown as SequenceRequest), (error: unknown) => {
        assert.ok(error instanceof ServiceError)
        assert.deepEqual([error.code, error.param], ['invalid_request', param])
        return true
      })
    }
    await assert.rejects(all('x' as unknown as SequenceRequest), /Expected object/)
  })

  test('aborting cancels the sequence', async () => {
    const cancelled = new EventEmitter()
    submit = async (_request, signal, emit) => {
      signal.addEventListener('abort', () => cancelled.emit('cancel'))
      emit(token(1))
    }
    const hangUp = new AbortController()
    const seen = once(cancelled, 'cancel')
    await assert.rejects(async () => {
      for await (const event of client.run(generate([1]), hangUp.signal)) {
        assert.deepEqual(event, token(1))
        hangUp.abort()
      }
    }, { name: 'AbortError' })
    await seen
  })

  test('ending the iteration early cancels the sequence', async () => {
    const cancelled = new EventEmitter()
    submit = async (_request, signal, emit) => {
      signal.addEventListener('abort', () => cancelled.emit('cancel'))
      emit(token(1))
      emit(token(2))
    }
    const seen = once(cancelled, 'cancel')
    for await (const event of client.run(generate([1]), never)) {
      assert.deepEqual(event, token(1))
      break
    }
    await seen
  })

  test('a client that disappears while its prompt loads cancels the sequence', async () => {
    const steps = new EventEmitter()
    submit = async (_request, signal) => {
      steps.emit('loading')
      await once(signal, 'abort')
      steps.emit('cancelled')
      signal.throwIfAborted()
    }
    const hangUp = new AbortController()
    const loading = once(steps, 'loading')
    const cancelled = once(steps, 'cancelled')
    const run = all(generate([1]), hangUp.signal)
    await loading
    hangUp.abort()
    await assert.rejects(run, { name: 'AbortError' })
    await cancelled
  })

  test('a slow reader is waited for, and gets everything', async () => {
    // Larger than the buffers of a socket.
    const events = Array.from({ length: 5000 }, (_, id): SequenceEvent => ({ type: 'token', id, logprob: -1.5, top: Array.from({ length: 20 }, (_, other) => [other, -2.25] as const) }))
    submit = async (_request, _signal, emit) => { for (const event of [...events, FINISHED]) emit(event) }
    let count = 0
    for await (const event of client.run(generate([1]), never)) {
      if (event.type === 'token') assert.equal(event.id, count++)
      if (count % 500 === 0) await new Promise(resolve => setImmediate(resolve))
    }
    assert.equal(count, 5000)
  })

  test('no process, a connection that breaks, an answer that ends early: unavailable with a time to come back', async () => {
    submit = async (_request, _signal, emit) => {
      emit(token(1))
      setImmediate(() => server.closeAllConnections())
    }
    await assert.rejects(all(), unavailable)
    const absent = new HttpInferenceClient({ socketPath: join(folder, 'nobody.sock') })
    await assert.rejects(absent.status(), unavailable)
    await assert.rejects(absent.run(generate([1]), never).next(), unavailable)
    await absent.close()
  })

  test('a kept connection that the server closed is replaced without an error', async () => {
    submit = async (_request, _signal, emit) => emit(FINISHED)
    for (let i = 0; i < 20; i++) {
      assert.deepEqual(await all(), [FINISHED])
      await new Promise(resolve => setImmediate(resolve))
      server.closeIdleConnections()
    }
  })

  test('the status is passed on', async () => {
    assert.deepEqual(await client.status(), STATUS)
  })

  test('the server speaks TCP too, refuses unknown routes and bodies that are no JSON', async () => {
    const tcp = createInferenceServer(() => ({ status: () => STATUS, submit: async () => {} }), pino({ level: 'silent' }))
    await new Promise<void>(resolve => tcp.listen(0, '127.0.0.1', resolve))
    const { port } = tcp.address() as AddressInfo
    const overTcp = new HttpInferenceClient(inferenceAddress({ INFERENCE_URL: `http://127.0.0.1:${port}`, PERMAFROST_HOME: '/nowhere' }))
    assert.equal((await overTcp.status()).slots, 2)
    const post = async (path: string, body: string): Promise<unknown> => (await fetch(`http://127.0.0.1:${port}${path}`, { method: 'POST', body })).json()
    assert.deepEqual(await post('/sequences', '{'), { error: { code: 'invalid_json', message: 'the body is not JSON', param: null } })
    assert.deepEqual(await post('/nothing', '{}'), { error: { code: 'route_not_found', message: 'no route POST /nothing', param: null } })
    await overTcp.close()
    tcp.closeAllConnections()
    await new Promise(resolve => tcp.close(resolve))
  })

  test('half a request that hangs up reaches nobody', async () => {
    submit = async () => assert.fail('reached the backend')
    const socket = connect({ path: join(folder, 'inference.sock') })
    await once(socket, 'connect')
    socket.write('POST /sequences HTTP/1.1\r\nhost: x\r\ncontent-length: 1000\r\n\r\n{"id":')
    socket.destroy()
    await once(socket, 'close')
    assert.deepEqual(await client.status(), STATUS)
  })
})

suite('address of the inference process', () => {
  const home = '/home/permafrost'
  test('is a socket under the home folder unless told otherwise', () => {
    assert.deepEqual(inferenceAddress({ PERMAFROST_HOME: home }), { socketPath: '/home/permafrost/run/inference.sock' })
    assert.deepEqual(inferenceAddress({ PERMAFROST_HOME: home, INFERENCE_URL: 'unix:/tmp/x.sock' }), { socketPath: '/tmp/x.sock' })
    assert.deepEqual(inferenceAddress({ PERMAFROST_HOME: home, INFERENCE_URL: 'http://inference:9000' }), { host: 'inference', port: 9000 })
  })

  test('must name a port and nothing more', () => {
    for (const url of ['http://inference', 'https://inference:1', 'http://inference:1/path', 'unix:relative', 'inference:1']) {
      assert.throws(() => inferenceAddress({ PERMAFROST_HOME: home, INFERENCE_URL: url }), /INFERENCE_URL/, url)
    }
  })
})
