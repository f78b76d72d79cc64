/** The inference process as the supervisor runs it: a real process, its socket, its signals. */
import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, afterEach, before, suite, test } from 'node:test'
import { Redis } from 'ioredis'
import { loadConfig, type Config } from '../../src/config.js'
import { ServiceError } from '../../src/errors.js'
import { ReplicaClient } from '../../src/inference/client.js'
import type { SequenceEvent } from '../../src/inference/protocol.js'
import { EVENTS_CHANNEL } from '../../src/registry/redis-keys.js'
import { openStores } from '../../src/registry/store/open-stores.js'
import { startRedis } from '../support/redis.js'
import { InferenceProcesses, type Started } from './processes.js'
import { tinyBase, type TestBase } from './tiny-base.js'
import { generate, promptFiles, tokenIds } from './tiny-service.js'

const never = new AbortController().signal

suite('inference process', () => {
  let tiny: TestBase
  let home: string
  let environment: NodeJS.ProcessEnv
  let config: Config
  const processes = new InferenceProcesses()
  const client = (): ReplicaClient => new ReplicaClient(`unix:${join(home, 'run', 'inference.sock')}`)
  const launch = (more: NodeJS.ProcessEnv = {}, nodeOptions: string[] = []): Started => processes.start({ ...environment, ...more }, nodeOptions)

  before(async () => {
    tiny = await tinyBase({ contextLength: 512 })
    home = await mkdtemp(join(tmpdir(), 'permafrost-home-'))
    environment = { PERMAFROST_HOME: home, BASE_FOLDER: tiny.base.folder, KV_SLOTS: '2', INFERENCE_THREADS: '1' }
    config = loadConfig(environment)
  })
  // One that a failed test left behind would hold the socket of the next.
  afterEach(async () => await processes.end())
  after(async () => {
    await rm(home, { recursive: true, force: true })
    await tiny.dispose()
  })

  test('serves on its socket; SIGTERM lets the answer under way finish and ends with 0', async () => {
    const started = launch()
    const loaded = await started.said('serving graph loaded')
    await started.said('inference process is ready')
    assert.deepEqual([loaded['engine'], loaded['format'], loaded['slots']], ['c-api', 'w8a8', 2])
    const memory = await started.said('memory at most')
    // 2 layers x keys and values x 3 slots x 2 heads x 512 positions x 16 numbers of 4 bytes.
    assert.deepEqual([memory['engine'], memory['slots'], memory['arenaBytes'], memory['budgetBytes']], ['c-api', 2, 2 * 2 * 3 * 2 * 512 * 16 * 4, null])
    const inference = client()
    const status = await inference.status()
    assert.deepEqual([status.ready, status.base, status.maxContext], [true, tiny.base.manifest.digest, 512])
    const events: SequenceEvent[] = []
    for await (const event of inference.run(generate([1, 2, 3], { maxTokens: 400 }), null, never)) {
      if (events.push(event) === 3) started.child.kill('SIGTERM')
    }
    assert.equal(tokenIds(events).length, 400)
    assert.equal(events.at(-1)!.type, 'finished')
    assert.equal(await started.exited, 0, started.stderr())
    assert.equal(existsSync(join(home, 'run', 'inference.sock')), false)
    inference.close()
  })

  test('kill -9 in mid-answer: the client is told, and a new process takes over the socket', async () => {
    const first = launch()
    await first.said('inference process is ready')
    const inference = client()
    const run = inference.run(generate([1, 2, 3], { maxTokens: 400 }), null, never)
    await run.next()
    first.child.kill('SIGKILL')
    await assert.rejects(async () => { for await (const event of run) assert.equal(event.type, 'token') }, (error: unknown) => error instanceof ServiceError && error.code === 'inference_unavailable' && error.retryAfter !== undefined)
    await first.exited
    await assert.rejects(inference.status(), { code: 'inference_unavailable' })
    const second = launch()
    await second.said('inference process is ready')
    assert.equal((await inference.status()).ready, true)
    const third = launch()
    assert.equal(await third.exited, 1)
    assert.match(third.stderr(), /another process listens on/)
    assert.equal((await inference.status()).ready, true)
    second.child.kill('SIGTERM')
    assert.equal(await second.exited, 0)
    inference.close()
  })

  test('without koffi the stock engine runs, says so, and gives the same answer', async () => {
    const answers = []
    for (const options of [[], ['--import', join(import.meta.dirname, 'without-koffi.js')]]) {
      const started = launch({}, options)
      const { engine } = await started.said('serving graph loaded')
      await started.said('inference process is ready')
      if (engine === 'stock') await started.said('ONNX Runtime cannot be called directly: the slow engine runs')
      const inference = client()
      const events = []
      for await (const event of inference.run(generate([1, 2, 3], { maxTokens: 20 }), null, never)) events.push(event)
      answers.push({ engine, reported: (await inference.status()).engine, ids: tokenIds(events) })
      started.child.kill('SIGTERM')
      assert.equal(await started.exited, 0, started.stderr())
      inference.close()
    }
    const [direct, fallback] = answers
    assert.deepEqual(direct, { ...direct, engine: 'c-api', reported: 'c-api' })
    assert.deepEqual(fallback, { engine: 'stock', reported: 'stock', ids: direct!.ids })
  })

  test('a budget that the slots do not fit into is refused before anything is loaded', async () => {
    const started = launch({ INFERENCE_MEMORY_BYTES: String(2 ** 20) })
    assert.notEqual(await started.exited, 0)
    assert.match(started.stderr(), /ConfigError: bad configuration\n {2}INFERENCE_MEMORY_BYTES: 1048576 bytes, the least is \d+: .* 2 \+ 1 slots of 262144,/)
  })

  test('a published version is loaded before its first request; serving goes on while Redis is away', async () => {
    const redis = await startRedis()
    const publisher = new Redis(redis.url)
    publisher.on('error', () => {})
    const started = launch({ REDIS_URL: redis.url })
    const inference = client()
    try {
      await started.said('new versions are followed')
      const { artifacts } = await openStores(config)
      const digest = await artifacts.put(promptFiles(tiny.base, { method: 'prompt-tuning', virtualTokens: 3, value: index => Math.cos(index) }))
      await publisher.publish(EVENTS_CHANNEL, JSON.stringify({ type: 'alias', tenant: 't', task: 'k', alias: 'production', number: 1 }))
      await publisher.publish(EVENTS_CHANNEL, JSON.stringify({ type: 'version', tenant: 't', task: 'k', number: 1, digest }))
      assert.equal((await started.said('published prompt loaded'))['prompt'], digest)
      assert.equal((await inference.status()).promptsCached, 1)
      await redis.kill9()
      await started.said('Redis is away: new versions load on their first request')
      const events = []
      for await (const event of inference.run(generate([1], { prompt: digest, maxTokens: 2 }), null, never)) events.push(event)
      assert.equal(events.at(-1)!.type, 'finished')
    } finally {
      started.child.kill('SIGTERM')
      assert.equal(await started.exited, 0, started.stderr())
      publisher.disconnect()
      await redis.stop()
      inference.close()
    }
  })
})
