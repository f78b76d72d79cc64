/** Several inference processes as one, each played by the test behind the real server and client. */
import assert from 'node:assert/strict'
import { EventEmitter, once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, afterEach, before, suite, test } from 'node:test'
import { pino } from 'pino'
import { digestOf } from '../../src/digest.js'
import { ServiceError } from '../../src/errors.js'
import { InferencePool } from '../../src/inference/client-pool.js'
import type { ReplicaSource } from '../../src/inference/client-replicas-source.js'
import type { SequenceEvent, SequenceRequest } from '../../src/inference/protocol.js'
import { BASE, FINISHED, ScriptedReplica } from './scripted-replica.js'
import { generate, tokenIds } from './tiny-service.js'

const never = new AbortController().signal
const STOPPING = new ServiceError('inference_unavailable', 'the inference process is stopping', { retryAfter: 2 })
const STARTING = new ServiceError('starting', 'the model is being loaded', { retryAfter: 2 })
const SATURATED = new ServiceError('saturated', '4 sequences run and 9 wait, limit 9', { retryAfter: 7 })

const refused = (code: string, retryAfter?: number) => (error: unknown): boolean => {
  assert.ok(error instanceof ServiceError)
  assert.deepEqual([error.code, retryAfter === undefined || error.retryAfter === retryAfter], [code, true], error.stack)
  return true
}

async function all (pool: InferencePool, request: SequenceRequest = generate([1])): Promise<SequenceEvent[]> {
  const events = []
  for await (const event of pool.run(request, never)) events.push(event)
  return events
}

suite('InferencePool', { timeout: 60_000 }, () => {
  let folder: string
  let sockets = 0
  const replicas: ScriptedReplica[] = []
  const pools: InferencePool[] = []
  let lines: Array<{ msg: string, why?: string }>

  before(async () => { folder = await mkdtemp(join(tmpdir(), 'permafrost-pool-')) })
  after(async () => await rm(folder, { recursive: true, force: true }))
  afterEach(async () => {
    for (const pool of pools.splice(0)) await pool.close()
    for (const replica of replicas.splice(0)) replica.die()
  })

  function replica (secret?: string): ScriptedReplica {
    const made = new ScriptedReplica(join(folder, `${sockets++}.sock`), secret)
    replicas.push(made)
    return made
  }
  const started = async (count: number): Promise<ScriptedReplica[]> => await Promise.all(Array.from({ length: count }, async () => await replica().start()))

  async function open (source: readonly ScriptedReplica[] | ReplicaSource, secret?: string): Promise<InferencePool> {
    lines = []
    const logger = pino({ level: 'info' }, { write: (line: string) => { lines.push(JSON.parse(line) as typeof lines[number]) } })
    const urls: ReplicaSource = 'urls' in source ? source : { urls: async () => source.map(({ url }) => url), onChange: () => () => {} }
    const pool = await InferencePool.open(urls, { base: BASE, secret, logger })
    pools.push(pool)
    return pool
  }

  /** The requests' home first. */
  async function two (): Promise<{ pool: InferencePool, home: ScriptedReplica, other: ScriptedReplica }> {
    const [a, b] = await started(2) as [ScriptedReplica, ScriptedReplica]
    const pool = await open([a, b])
    await all(pool)
    const [home, other] = a.requests.length === 1 ? [a, b] : [b, a]
    home.requests.length = 0
    return { pool, home, other }
  }

  test('spreads requests that come in the same moment', async () => {
    const pair = await started(2)
    const pool = await open(pair)
    const release = new EventEmitter().setMaxListeners(20)
    for (const each of pair) {
      each.submit = async (_request, _signal, emit) => {
        await once(release, 'all')
        emit(FINISHED)
      }
    }
    const answers = Array.from({ length: 10 }, async () => await all(pool))
    while (pair.some(({ requests }) => requests.length < 5)) await new Promise(setImmediate)
    release.emit('all')
    await Promise.all(answers)
    assert.deepEqual(pair.map(({ requests }) => requests.length), [5, 5])
  })

  test('sends a prompt to the same process again, and elsewhere while that is busy for others', async () => {
    const trio = await started(3)
    const first = await open(trio)
    const request = generate([1], { prompt: digestOf('a prompt') })
    for (let i = 0; i < 4; i++) await all(first, request)
    assert.deepEqual(trio.map(({ requests }) => requests.length).sort(), [0, 0, 4])
    const home = trio.find(({ requests }) => requests.length === 4)!
    home.status = { ...home.status, running: 4, waiting: 3 }
    await all(await open(trio), request)
    assert.equal(home.requests.length, 4)
  })

  test('a process that is stopping, starting or full is passed over; one that was full is asked again the next time', async () => {
    for (const error of [STOPPING, STARTING, SATURATED]) {
      const { pool, home, other } = await two()
      home.refuses(error)
      home.status = { ...home.status, ready: error === SATURATED }
      other.says(7)
      for (let request = 0; request < 2; request++) assert.deepEqual(tokenIds(await all(pool)), [7])
      assert.deepEqual([home.requests.length, other.requests.length], [error === SATURATED ? 2 : 1, 2])
    }
  })

  test('when none takes it, the last says why; that one is full says most', async () => {
    const { pool, home, other } = await two()
    home.refuses(SATURATED)
    other.refuses(SATURATED)
    await assert.rejects(all(pool), refused('saturated', 7))
    other.die()
    await assert.rejects(all(pool), refused('saturated', 7))
    const alone = await started(1) as [ScriptedReplica]
    alone[0].refuses(STARTING)
    alone[0].status = { ...alone[0].status, ready: false }
    const poolOfOne = await open(alone)
    await assert.rejects(all(poolOfOne), refused('starting', 2))
    alone[0].die()
    await assert.rejects(all(poolOfOne), refused('inference_unavailable'))
    assert.deepEqual(poolOfOne.replicas(), [{ url: alone[0].url, status: null }])
    await assert.rejects(all(await open([])), refused('inference_unavailable', 2))
  })

  test('what the request is to blame for is not asked twice', async () => {
    for (const error of [new ServiceError('context_too_long', 'too long', { param: 'input' }), new ServiceError('version_not_found', 'no such artifact'), new ServiceError('invalid_request', 'no'), new Error('a fault')]) {
      const { pool, home, other } = await two()
      home.refuses(error)
      await assert.rejects(all(pool), refused(error instanceof ServiceError ? error.code : 'internal'))
      assert.deepEqual([home.requests.length, other.requests.length], [1, 0])
    }
  })

  test('an answer under way is taken up by another when its process dies, is cut off, or says no more', async () => {
    const { pool, home, other } = await two()
    home.saysAndDies(5, 6)
    other.says(5, 6, 7, 8)
    assert.deepEqual(await all(pool), [5, 6, 7, 8].map(id => ({ type: 'token', id })).concat(FINISHED as never))
    assert.deepEqual(other.requests, home.requests)

    const next = await two()
    next.home.submit = async (_request, _signal, emit) => {
      emit({ type: 'token', id: 5 })
      emit({ type: 'failed', code: 'inference_unavailable', message: 'the inference process stopped' })
    }
    next.other.says(5, 9)
    assert.deepEqual(tokenIds(await all(next.pool)), [5, 9])
  })

  test('another that gives another answer does not go on with it', async () => {
    const { pool, home, other } = await two()
    home.saysAndDies(5, 6)
    other.says(5, 4, 3)
    const events: SequenceEvent[] = []
    await assert.rejects(async () => { for await (const event of pool.run(generate([1]), never)) events.push(event) }, refused('inference_unavailable'))
    assert.deepEqual(tokenIds(events), [5, 6])
  })

  test('a request that two processes ended with is given to no third, unless it came further each time', async () => {
    const trio = await started(3)
    const pool = await open(trio)
    for (const each of trio) each.submit = async () => each.die()
    await assert.rejects(all(pool), refused('inference_unavailable'))
    assert.equal(trio.flatMap(({ requests }) => requests).length, 2)

    const others = await started(3)
    let turn = 0
    for (const each of others) {
      each.submit = async (_request, _signal, emit) => {
        turn++
        for (let id = 0; id < turn; id++) emit({ type: 'token', id })
        if (turn === 3) emit(FINISHED)
        else setImmediate(() => each.die())
      }
    }
    assert.deepEqual(tokenIds(await all(await open(others))), [0, 1, 2])
  })

  test('hanging up cancels at once and tries nobody else', async () => {
    const { pool, home, other } = await two()
    const cancelled = new EventEmitter()
    home.submit = async (_request, signal, emit) => {
      signal.addEventListener('abort', () => cancelled.emit('cancel'))
      emit({ type: 'token', id: 1 })
    }
    for (const leave of [(hangUp: AbortController) => hangUp.abort(), null]) {
      const hangUp = new AbortController()
      const seen = once(cancelled, 'cancel')
      const run = pool.run(generate([1]), hangUp.signal)
      await run.next()
      if (leave === null) await run.return(undefined)
      else {
        leave(hangUp)
        await assert.rejects(run.next(), { name: 'AbortError' })
      }
      await seen
    }
    assert.equal(other.requests.length, 0)
    // Nothing of it is left in the count: the home is still as free as the other.
    home.says(2)
    assert.deepEqual(tokenIds(await all(pool)), [2])
  })

  test('what comes up where a process ended is a new one, also for a request that met the old one', async () => {
    const { pool, home, other } = await two()
    home.refuses(STOPPING)
    // The second restarts in the moment in which the first is back.
    other.submit = async () => {
      home.die()
      home.says(1)
      await home.start()
      throw STOPPING
    }
    assert.deepEqual(tokenIds(await all(pool)), [1])
    assert.deepEqual([home.requests.length, other.requests.length], [2, 1])
  })

  test('of another base, or with another secret, is never used, and that is said once', async () => {
    const [good, bad] = await started(2) as [ScriptedReplica, ScriptedReplica]
    const secretive = await replica('a secret of its own').start()
    bad.status = { ...bad.status, base: digestOf('another base') }
    const pool = await open([bad, secretive, good])
    good.refuses(STOPPING)
    await assert.rejects(all(pool), refused('inference_unavailable'))
    good.says(3)
    assert.deepEqual(tokenIds(await all(pool)), [3])
    assert.deepEqual([bad.requests.length, secretive.requests.length], [0, 0])
    assert.deepEqual(pool.replicas().map(({ url }) => url), [good.url])
    assert.deepEqual(lines.filter(({ msg }) => msg === 'inference process is not used').map(({ why }) => why).sort(), [
      `it serves base ${digestOf('another base')}, this api ${BASE}`,
      'the request does not carry the INFERENCE_SECRET of this process'
    ])
    const trusted = await open([secretive], 'a secret of its own')
    assert.deepEqual(await all(trusted), [FINISHED])
  })

  test('a process of another base that took over the address refuses what was meant for the first', async () => {
    const [one] = await started(1) as [ScriptedReplica]
    const pool = await open([one])
    one.die()
    one.status = { ...one.status, base: digestOf('another base') }
    await one.start()
    await assert.rejects(all(pool), refused('inference_unavailable'))
    assert.equal(one.requests.length, 0)
  })

  test('follows its source: who comes is used, who is gone and answers is kept, who is gone and silent is forgotten', async () => {
    const [one, two] = await started(2) as [ScriptedReplica, ScriptedReplica]
    const changes = new EventEmitter()
    let urls: readonly string[] | Error = []
    const answer = async (): Promise<readonly string[]> => {
      if (urls instanceof Error) throw urls
      return urls
    }
    const pool = await open({ urls: answer, onChange: listener => { changes.on('change', listener); return () => changes.off('change', listener) } })
    await assert.rejects(all(pool), refused('inference_unavailable'))
    const known = async (condition: () => boolean): Promise<void> => {
      changes.emit('change')
      while (!condition()) await new Promise(setImmediate)
    }
    urls = [one.url]
    await known(() => pool.replicas()[0]?.status?.ready === true)
    assert.deepEqual(await all(pool), [FINISHED])

    urls = new Error('Redis is away')
    await known(() => lines.some(({ msg }) => msg.startsWith('nobody says')))
    assert.deepEqual(await all(pool), [FINISHED])
    urls = [two.url]
    await known(() => pool.replicas().length === 2 && pool.replicas().every(({ status }) => status?.ready === true))
    one.die()
    await known(() => pool.replicas().length === 1)
    assert.deepEqual([pool.replicas()[0]!.url, await all(pool)], [two.url, [FINISHED]])
    assert.equal(lines.filter(({ msg }) => msg.startsWith('nobody says')).length, 1)
  })
})
