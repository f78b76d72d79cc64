/** Inference processes on TCP beside a real Redis: how they are found, and what happens to requests when they end. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, afterEach, before, suite, test } from 'node:test'
import { Redis } from 'ioredis'
import { pino } from 'pino'
import { inOrder } from '../../src/api/infer/in-order.js'
import { loadConfig } from '../../src/config.js'
import type { Digest } from '../../src/digest.js'
import { ReplicaClient } from '../../src/inference/client.js'
import { InferencePool } from '../../src/inference/client-pool.js'
import { replicaSource } from '../../src/inference/client-replicas-source.js'
import type { SequenceRequest } from '../../src/inference/protocol.js'
import { RedisRegistry } from '../../src/registry/redis-registry.js'
import { LOST_MS, removeReplica } from '../../src/registry/replicas.js'
import { openStores } from '../../src/registry/store/open-stores.js'
import { type RedisServer, startRedis } from '../support/redis.js'
import { InferenceProcesses, type Started } from './processes.js'
import { tinyBase, type TestBase } from './tiny-base.js'
import { classification, ensemble, generate, promptFiles, untimed } from './tiny-service.js'

const never = new AbortController().signal
const SECRET = 'between the two of us'
const AT_ONCE = 24
const SLOTS = 4

interface Process { readonly started: Started, readonly url: string }

async function answerOf (pool: InferencePool, request: SequenceRequest): Promise<unknown[]> {
  const events = []
  for await (const event of pool.run(request, never)) events.push(event)
  return untimed(events)
}

/** Which of them runs a sequence. */
async function busy (among: readonly Process[]): Promise<Process> {
  for (;;) {
    for (const each of among) {
      const client = new ReplicaClient(each.url, SECRET)
      const { running } = await client.status()
      client.close()
      if (running > 0) return each
    }
  }
}

suite('inference processes on TCP', { timeout: 300_000 }, () => {
  let tiny: TestBase
  let home: string
  let redis: RedisServer
  let registry: RedisRegistry
  let connection: Redis
  let prompts: Digest[]
  let environment: Record<string, string>
  const processes = new InferenceProcesses()
  const pools: InferencePool[] = []

  before(async () => {
    tiny = await tinyBase({ contextLength: 512 })
    home = await mkdtemp(join(tmpdir(), 'permafrost-home-'))
    redis = await startRedis()
    connection = new Redis(redis.url)
    connection.on('error', () => {})
    const { objects, artifacts } = await openStores({ PERMAFROST_HOME: home })
    prompts = await Promise.all([[5, 9], [7, 8, 200], undefined, undefined].map(async (labelTokens, seed) =>
      await artifacts.put(promptFiles(tiny.base, { method: 'prefix-tuning', virtualTokens: 3 + seed, ...(labelTokens === undefined ? {} : { labelTokens }), value: index => Math.cos(index + seed) }))))
    registry = await RedisRegistry.connect({ url: redis.url, objects, whenDown: 'fail' })
    environment = {
      PERMAFROST_HOME: home, BASE_FOLDER: tiny.base.folder, KV_SLOTS: String(SLOTS), INFERENCE_THREADS: '1',
      REDIS_URL: redis.url, INFERENCE_LISTEN: 'http://127.0.0.1:0', INFERENCE_SECRET: SECRET
    }
  })
  afterEach(async () => {
    for (const pool of pools.splice(0)) await pool.close()
    await processes.end()
    for (const { id } of (await registry.listReplicas()).replicas) await removeReplica(connection, id)
  })
  after(async () => {
    await registry.close()
    connection.disconnect()
    await redis.stop()
    await rm(home, { recursive: true, force: true })
    await tiny.dispose()
  })

  /** Milliseconds until Redis does not list it any more. */
  async function gone (url: string): Promise<number> {
    const begun = performance.now()
    while ((await registry.listReplicas()).replicas.some(replica => replica.url === url)) await new Promise(setImmediate)
    return performance.now() - begun
  }

  async function launch (): Promise<Process> {
    const started = processes.start(environment)
    const { url } = await started.said('registered')
    return { started, url: String(url) }
  }

  /** @param listed absent: of those that have registered */
  async function openPool ({ secret = SECRET, listed }: { readonly secret?: string, readonly listed?: readonly Process[] } = {}): Promise<InferencePool> {
    const logger = pino({ level: 'silent' })
    const pool = await InferencePool.open(replicaSource(loadConfig({ INFERENCE_SECRET: secret, INFERENCE_URL: listed?.map(({ url }) => url).join() }), registry, logger), { base: tiny.base.manifest.digest, secret, logger })
    pools.push(pool)
    return pool
  }

  /** Classifications and streams, greedy and sampled, with a prompt, with two and without. */
  function mixed (count: number): SequenceRequest[] {
    return Array.from({ length: count }, (_, index) => {
      const input = Array.from({ length: 1 + index % 13 }, (_, position) => (31 * index + 7 * position) % 340)
      if (index % 5 < 2) return classification(input, prompts[index % 5]!)
      const sampling = index % 2 === 0 ? {} : { temperature: 0.9, topK: 40, seed: index }
      const request = generate(input, { prompt: index % 3 === 0 ? null : prompts[2]!, maxTokens: 5 + index % 40, sampling, logprobs: index % 4 === 0 ? 2 : null })
      return index % 3 === 1 ? ensemble(request, [prompts[3]!]) : request
    })
  }

  /** A long answer under way, whose it is, and the rest of it when it has come. */
  async function longAnswer (among: readonly Process[], pool: InferencePool, change = (request: SequenceRequest): SequenceRequest => request): Promise<{ owner: Process, rest: Promise<unknown[]>, whole: unknown[] }> {
    const request = change(generate([1, 2, 3], { prompt: prompts[2]!, maxTokens: 450, sampling: { temperature: 0.8, seed: 5 } }))
    const whole = await answerOf(pool, request)
    const run = pool.run(request, never)
    const events = [(await run.next()).value!]
    const owner = await busy(among)
    return {
      owner,
      whole,
      rest: (async () => {
        for await (const event of run) events.push(event)
        return untimed(events)
      })()
    }
  }

  test('are listed with their address while they serve: after SIGTERM no more at once, after SIGKILL not for long', async () => {
    const [one, two] = await Promise.all([launch(), launch()])
    assert.match(one.url, /^http:\/\/127\.0\.0\.1:[1-9][0-9]*$/)
    assert.deepEqual((await registry.listReplicas()).replicas.map(({ url }) => url).sort(), [one.url, two.url].sort())
    const told = new Promise<void>(resolve => {
      const stop = registry.onEvent(({ type }) => {
        if (type !== 'replica') return
        stop()
        resolve()
      })
    })
    one.started.child.kill('SIGTERM')
    await told
    assert.deepEqual((await registry.listReplicas()).replicas.map(({ url }) => url), [two.url])
    assert.equal(await one.started.exited, 0, one.started.stderr())
    two.started.child.kill('SIGKILL')
    assert.ok(await gone(two.url) < LOST_MS + 2000)
  })

  test('refuse whoever has not their secret, and do not listen without one', async () => {
    const { url } = await launch()
    for (const [method, path] of [['GET', '/status'], ['POST', '/sequences']] as const) {
      const response = await fetch(`${url}${path}`, { method, headers: { authorization: 'Bearer between the two of them' } })
      assert.deepEqual([response.status, (await response.json() as { error: { code: string } }).error.code], [401, 'invalid_api_key'])
    }
    const stranger = await openPool({ secret: 'a secret of another installation' })
    await assert.rejects(answerOf(stranger, generate([1])), { code: 'inference_unavailable' })
    const { INFERENCE_SECRET: _, ...open } = environment
    const careless = processes.start(open)
    assert.notEqual(await careless.exited, 0)
    assert.match(careless.stderr(), /ConfigError.*\n.*INFERENCE_SECRET/)
  })

  test('serve on while Redis is away, and are found again when it is back', async () => {
    const { started, url } = await launch()
    const pool = await openPool()
    const request = generate([1, 2], { prompt: prompts[2]! })
    const known = await answerOf(pool, request)
    await redis.kill9()
    await started.said('Redis is away: no api that does not know this process finds it')
    assert.deepEqual(await answerOf(pool, request), known)
    await redis.restart()
    await started.said('registered', 2)
    while ((await registry.listReplicas().catch(() => null)) === null) await new Promise(setImmediate)
    assert.deepEqual((await registry.listReplicas()).replicas.map(replica => replica.url), [url])
    assert.deepEqual(await answerOf(await openPool(), request), known)
  })

  test('400 requests while one of two is killed: each gets the answer of an undisturbed run', async () => {
    const [one] = await Promise.all([launch(), launch()])
    const pool = await openPool()
    const requests = mixed(400)
    const undisturbed = await inOrder(requests, AT_ONCE, async request => await answerOf(pool, request))
    let answered = 0
    const disturbed = await inOrder(requests, AT_ONCE, async request => {
      const answer = await answerOf(pool, request)
      if (++answered === 100) one.started.child.kill('SIGKILL')
      return answer
    })
    assert.deepEqual(disturbed, undisturbed)
    assert.equal(pool.replicas().filter(({ status }) => status?.ready === true).length, 1)
  })

  for (const members of [1, 2]) {
    test(`a stream whose process is killed goes on where it was, ${members === 1 ? 'of one prompt' : 'of an ensemble'}`, async () => {
      const pair = await Promise.all([launch(), launch()])
      const { owner, rest, whole } = await longAnswer(pair, await openPool(), request => members === 1 ? request : ensemble(request, [prompts[3]!]))
      owner.started.child.kill('SIGKILL')
      assert.deepEqual(await rest, whole)
    })
  }

  for (const source of ['registered', 'listed']) {
    test(`a stream whose process hangs goes on once that gives no sign of life, ${source}`, async () => {
      const pair = await Promise.all([launch(), launch()])
      const { owner, rest, whole } = await longAnswer(pair, await openPool(source === 'listed' ? { listed: pair } : {}))
      owner.started.child.kill('SIGSTOP')
      assert.deepEqual(await rest, whole)
    })
  }

  test('two replaced one after the other by SIGTERM under load: no request fails, each answer is right', async () => {
    const old = await Promise.all([launch(), launch()])
    const pool = await openPool()
    const requests = mixed(100)
    const undisturbed = await inOrder(requests, AT_ONCE, async request => await answerOf(pool, request))
    const replaced = new AbortController()
    const rolling = (async () => {
      for (const each of old) {
        each.started.child.kill('SIGTERM')
        assert.equal(await each.started.exited, 0, each.started.stderr())
        await launch()
      }
    })().finally(() => replaced.abort())
    for (let round = 0; !replaced.signal.aborted || round < 2; round++) {
      assert.deepEqual(await inOrder(requests, AT_ONCE, async request => await answerOf(pool, request)), undisturbed)
    }
    await rolling
  })

  test('a single one that restarts: refused meanwhile with a time to come back, answered as soon as it is there', async () => {
    const { started } = await launch()
    const pool = await openPool()
    const known = await answerOf(pool, generate([1]))
    started.child.kill('SIGKILL')
    await once(started.child, 'exit')
    await assert.rejects(answerOf(pool, generate([1])), { code: 'inference_unavailable', retryAfter: 2 })
    await launch()
    assert.deepEqual(await answerOf(pool, generate([1])), known)
  })
})
