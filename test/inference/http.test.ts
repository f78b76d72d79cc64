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
import { ReplicaClient, ReplicaFailure } from '../../src/inference/client.js'
import { NO_PROMPTS, type SequenceEvent, type SequenceRequest, type StatusReport } from '../../src/inference/protocol.js'
import { createInferenceServer, type Backend } from '../../src/inference/server.js'
import { digestOf } from '../../src/digest.js'
import { generate } from './tiny-service.js'

const STATUS: StatusReport = {
  id: 'one', ready: true, base: digestOf('base'), servingGraph: digestOf('graph'), format: 'w8a8', engine: 'c-api', maxContext: 64, slots: 2,
  running: 1, waiting: 0, ...NO_PROMPTS, promptsCached: 3, promptCacheBytes: 100, stepsTotal: 7, tokensTotal: 5, packedInputsTotal: 0
}
const FINISHED: SequenceEvent = { type: 'finished', reason: 'stop', virtualTokens: 0, timing: { queueMs: 0, prefillMs: 1, decodeMs: 2 } }
const token = (id: number): SequenceEvent => ({ type: 'token', id })
const failure = (how: ReplicaFailure['how'], code = 'inference_unavailable') => (error: unknown): boolean => {
  assert.ok(error instanceof ReplicaFailure)
  assert.deepEqual([error.how, error.code], [how, code])
  assert.ok(error.retryAfter! >= 1)
  return true
}
const never = new AbortController().signal

suite('inference client and server', () => {
  let folder: string
  let server: Server
  let url: string
  let client: ReplicaClient
  let submit: Backend['submit']
  const folders: string[] = []

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'permafrost-http-'))
    folders.push(folder)
    server = createInferenceServer(() => ({ status: () => STATUS, submit: (...args) => submit(...args) }), { id: 'one' }, pino({ level: 'silent' }))
    await new Promise<void>(resolve => server.listen({ path: join(folder, 'inference.sock') }, resolve))
    url = `unix:${join(folder, 'inference.sock')}`
    client = new ReplicaClient(url)
  })
  afterEach(async () => {
    client.close()
    server.closeAllConnections()
    await new Promise(resolve => server.close(resolve))
  })
  after(async () => { for (const each of folders) await rm(each, { recursive: true, force: true }) })

  const all = async (request: SequenceRequest = generate([1]), signal = never): Promise<SequenceEvent[]> => {
    const events = []
    for await (const event of client.run(request, null, signal)) events.push(event)
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
    const request = { ...generate([4, 5], { maxTokens: 3 }), fixedTokens: 1 }
    const events = client.run(request, null, never)
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
    await assert.rejects(all(), (error: unknown) => failure('refused', 'saturated')(error) && (error as ReplicaFailure).retryAfter === 4 && (error as ReplicaFailure).message === '2 run and 9 wait, limit 9')
    submit = async () => { throw new ServiceError('context_too_long', 'too long', { param: 'input' }) }
    await assert.rejects(all(), (error: unknown) => error instanceof ServiceError && !(error instanceof ReplicaFailure) && error.code === 'context_too_long' && error.param === 'input' && error.retryAfter === undefined)
    submit = async () => { throw new Error('a secret of ours') }
    await assert.rejects(all(), (error: unknown) => error instanceof ServiceError && error.code === 'internal' && !error.message.includes('secret'))
  })

  test('requests that do not follow the protocol are refused with the field', async () => {
    submit = async () => assert.fail('reached the backend')
    const wrong = [
      [{ ...generate([1]), extra: 1 }, 'extra'], [generate([]), 'inputIds'], [generate([1.5]), 'inputIds/0'], [generate([-1]), 'inputIds/0'],
      [{ ...generate([1]), prompt: 'sha256:1' }, 'prompt'], [generate([1], { maxTokens: 0 }), 'work'], [{ ...generate([1, 2]), fixedTokens: 0 }, 'fixedTokens'], [{}, 'id']
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
      for await (const event of client.run(generate([1]), null, hangUp.signal)) {
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
    for await (const event of client.run(generate([1]), null, never)) {
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
    for await (const event of client.run(generate([1]), null, never)) {
      if (event.type === 'token') assert.equal(event.id, count++)
      if (count % 500 === 0) await new Promise(resolve => setImmediate(resolve))
    }
    assert.equal(count, 5000)
  })

  test('no process, a connection that breaks, an answer that ends early: another process may answer', async () => {
    submit = async (_request, _signal, emit) => {
      emit(token(1))
      setImmediate(() => server.closeAllConnections())
    }
    await assert.rejects(all(), failure('broke'))
    submit = async () => { server.closeAllConnections() }
    await assert.rejects(all(), failure('broke'))
    submit = async (_request, _signal, emit) => {
      emit(token(1))
      emit({ type: 'failed', code: 'inference_unavailable', message: 'the inference process stopped' })
    }
    await assert.rejects(all(), failure('refused'))
    const absent = new ReplicaClient(`unix:${join(folder, 'nobody.sock')}`)
    await assert.rejects(absent.status(), failure('unreachable'))
    await assert.rejects(absent.run(generate([1]), null, never).next(), failure('unreachable'))
    absent.close()
  })

  test('a process that ended with a request on a kept connection may have begun it', async () => {
    submit = async (_request, _signal, emit) => emit(FINISHED)
    await all()
    submit = async () => {
      server.close()
      server.closeAllConnections()
    }
    await assert.rejects(all(), failure('broke'))
  })

  test('closing the client breaks the answer under way', async () => {
    submit = async (_request, _signal, emit) => emit(token(1))
    const run = client.run(generate([1]), null, never)
    await run.next()
    client.close()
    await assert.rejects(run.next(), failure('broke'))
  })

  test('a request that means another process than the one which listens there is refused', async () => {
    submit = async (_request, _signal, emit) => emit(FINISHED)
    assert.deepEqual((await client.run(generate([1]), 'one', never).next()).value, FINISHED)
    await assert.rejects(client.run(generate([1]), 'its predecessor', never).next(), failure('refused'))
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

  test('the server speaks TCP too, refuses unknown routes, bodies that are no JSON, and whoever has not its secret', async () => {
    const secret = 'between the two of us'
    const tcp = createInferenceServer(() => ({ status: () => STATUS, submit: async () => {} }), { id: 'one', secret }, pino({ level: 'silent' }))
    await new Promise<void>(resolve => tcp.listen(0, '127.0.0.1', resolve))
    const { port } = tcp.address() as AddressInfo
    const overTcp = new ReplicaClient(`http://127.0.0.1:${port}`, secret)
    assert.equal((await overTcp.status()).slots, 2)
    const post = async (path: string, body: string): Promise<unknown> => (await fetch(`http://127.0.0.1:${port}${path}`, { method: 'POST', body, headers: { authorization: `Bearer ${secret}` } })).json()
    assert.deepEqual(await post('/sequences', '{'), { error: { code: 'invalid_json', message: 'the body is not JSON', param: null } })
    assert.deepEqual(await post('/nothing', '{}'), { error: { code: 'route_not_found', message: 'no route POST /nothing', param: null } })
    for (const authorization of [undefined, 'Bearer between the two of them', `Basic ${secret}`]) {
      for (const [method, path] of [['GET', '/status'], ['POST', '/sequences'], ['GET', '/nothing']] as const) {
        const refused = await fetch(`http://127.0.0.1:${port}${path}`, { method, headers: authorization === undefined ? {} : { authorization } })
        assert.equal(refused.status, 401)
        assert.equal((await refused.json() as { error: { code: string } }).error.code, 'invalid_api_key')
      }
    }
    const stranger = new ReplicaClient(`http://127.0.0.1:${port}`)
    await assert.rejects(stranger.status(), failure('forbidden'))
    await assert.rejects(stranger.run(generate([1]), null, never).next(), failure('forbidden'))
    stranger.close()
    overTcp.close()
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
