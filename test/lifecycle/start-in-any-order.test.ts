/** Api, inference and worker started before what they need, which is then given to them one by one, or never, or wrong. */
import assert from 'node:assert/strict'
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, afterEach, before, beforeEach, suite, test } from 'node:test'
import { Redis } from 'ioredis'
import { BASE_FILES, type BaseManifest } from '../../src/model/base.js'
import { type RedisServer, startRedis } from '../support/redis.js'
import { type RoleName, type RoleProcess, startRole } from '../support/role.js'
import { environment, permafrost } from '../support/service.js'
import { writeTinyLlama } from '../support/tiny-llama.js'

/** What each says when it does its work, and then measures. */
const READY = { api: 'api listens', inference: 'inference process is ready', worker: 'worker takes jobs' } as const
const METRIC = { api: /^permafrost_inference_replicas 0$/m, inference: /^permafrost_inference_slots 16$/m, worker: /^permafrost_job_running 0$/m } as const
const ROLES: readonly RoleName[] = ['api', 'inference', 'worker']

suite('a role that starts before what it needs', { timeout: 240_000 }, () => {
  let folder: string
  let model: string
  let home: string
  let redis: RedisServer
  let redisPlace: string
  let basePlace: string
  const running = new Set<RoleProcess>()

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'permafrost-lifecycle-'))
    model = join(folder, 'model')
    await mkdir(model)
    writeTinyLlama(model)
    redis = await startRedis()
    redisPlace = `Redis at ${new URL(redis.url).host}`
  })
  beforeEach(async () => {
    home = await mkdtemp(join(folder, 'home-'))
    basePlace = `a base in ${join(home, 'bases', 'current')} (permafrost base add puts one there)`
  })
  afterEach(async () => {
    for (const role of running) {
      role.child.kill('SIGKILL')
      await role.exited
    }
    running.clear()
    await redis.restart()
  })
  after(async () => {
    await redis.stop()
    await rm(folder, { recursive: true, force: true })
  })

  function start (role: RoleName, settings: Readonly<Record<string, string>> = {}): RoleProcess {
    const started = startRole(role, home, { REDIS_URL: redis.url, INFERENCE_THREADS: '1', ...settings })
    running.add(started)
    return started
  }

  /** Of the model of PERMAFROST_BASE, as the command line of a container does it. */
  async function addBase (): Promise<string> {
    const { code, stdout, stderr } = await permafrost(environment(home, { PERMAFROST_BASE: model }), ['base', 'add', '--json'])
    assert.equal(code, 0, stderr)
    return (JSON.parse(stdout) as { folder: string }).folder
  }

  for (const name of ROLES) {
    test(`${name}: waits for a base, then for Redis, says so, and is ready when it has both`, async () => {
      await redis.kill9()
      const role = start(name)
      await role.said(`waiting for ${basePlace}`)
      assert.deepEqual(await readiness(role), [503, { status: 'waiting', for: basePlace }])
      assert.equal((await role.ask('/healthz')).status, 200)
      assert.match((await role.ask('/metrics')).text, /^nodejs_eventloop_lag_p99_seconds /m)

      await addBase()
      const { reason } = await role.said(`waiting for ${redisPlace}`)
      assert.match(String(reason), /^connect ECONNREFUSED/)
      assert.deepEqual(await readiness(role), [503, { status: 'waiting', for: redisPlace }])

      await redis.restart()
      await role.said(READY[name])
      await untilStatus(role, 200)
      assert.deepEqual(await readiness(role), [200, { status: 'ready', role: name }])
      assert.match((await role.ask('/metrics')).text, METRIC[name])
      assert.equal(await role.stop(), 0, role.stderr())
    })

    test(`${name}: told to stop while it waits, it ends with 0`, async () => {
      for (const isBaseThere of [false, true]) {
        if (isBaseThere) await addBase()
        await redis.kill9()
        const role = start(name)
        await role.said(`waiting for ${isBaseThere ? redisPlace : basePlace}`)
        const told = performance.now()
        assert.equal(await role.stop(), 0, role.stderr())
        assert.ok(performance.now() - told < 2000)
      }
    })

    test(`${name}: a password that Redis refuses is bad configuration, and is not shown`, async () => {
      await addBase()
      const admin = new Redis(redis.url)
      await admin.config('SET', 'requirepass', 'right')
      admin.disconnect()
      for (const password of ['', 'wrong-secret']) {
        const role = start(name, { REDIS_PASSWORD: password })
        assert.equal(await role.exited, 78)
        assert.match(role.stderr(), new RegExp(`^bad configuration\n  REDIS_PASSWORD: ${redisPlace} .*(NOAUTH|WRONGPASS)`))
        assert.doesNotMatch(role.stderr() + JSON.stringify(role.lines), /wrong-secret/)
      }
      const role = start(name, { REDIS_PASSWORD: 'right' })
      await role.said(READY[name])
    })

    test(`${name}: a store that is no folder is bad configuration`, async () => {
      await addBase()
      const file = join(home, 'file')
      await writeFile(file, '')
      const role = start(name, { ARTIFACT_STORE: `file:${file}` })
      assert.equal(await role.exited, 78)
      assert.match(role.stderr(), /^bad configuration\n {2}ARTIFACT_STORE: .*\/file can not be written: /)
    })

    test(`${name}: a base of a newer schema is refused with a code of its own`, async () => {
      const manifest = join(await addBase(), BASE_FILES.manifest)
      await writeFile(manifest, JSON.stringify({ ...JSON.parse(await readFile(manifest, 'utf8')) as BaseManifest, schema: 2 }))
      const role = start(name)
      assert.equal(await role.exited, 65)
      assert.match(role.stderr(), /schema 2/)
    })
  }

  for (const name of ['api', 'worker'] as const) {
    test(`${name}: without REDIS_URL there is nothing to wait for`, async () => {
      const role = start(name, { REDIS_URL: '' })
      assert.equal(await role.exited, 78)
      assert.match(role.stderr(), /^bad configuration\n {2}REDIS_URL: /)
    })
  }

  test('a Redis that still loads its data is waited for', async () => {
    await addBase()
    const slow = await startRedis({ extraArguments: ['--key-load-delay', '20000', '--loading-process-events-interval-bytes', '1024'] })
    try {
      const writer = new Redis(slow.url)
      for (let key = 0; key < 100; key++) await writer.set(`key ${key}`, 'x'.repeat(100))
      writer.disconnect()
      const loaded = slow.restart()
      const role = start('worker', { REDIS_URL: slow.url })
      while (JSON.stringify(await readiness(role)) !== JSON.stringify([503, { status: 'waiting', for: `Redis at ${new URL(slow.url).host}` }])) await new Promise(setImmediate)
      await loaded
      await role.said(READY.worker)
    } finally {
      await slow.stop()
    }
  })

  test('a worker that loses Redis takes no jobs and says so, until it is back', async () => {
    await addBase()
    const role = start('worker')
    await role.said(READY.worker)
    assert.deepEqual(await readiness(role), [200, { status: 'ready', role: 'worker' }])
    await redis.kill9()
    await untilStatus(role, 503)
    assert.deepEqual(await readiness(role), [503, { status: 'waiting', for: redisPlace }])
    await redis.restart()
    await untilStatus(role, 200)
    // No job is running, so there is nothing to bring back to it.
    await redis.kill9()
    const told = performance.now()
    assert.equal(await role.stop(), 0, role.stderr())
    assert.ok(performance.now() - told < 5000)
  })

  test('permafrost health asks the process on HEALTH_PORT: 0 when it is ready, else 1 and why', async () => {
    const HEALTH_PORT = String(await freePort())
    assert.deepEqual(await health({}), [1, 'HEALTH_PORT is not set, so there is nobody to ask\n'])
    const [nobody, why] = await health({ HEALTH_PORT })
    assert.equal(nobody, 1)
    assert.match(why, new RegExp(`^no answer from http://127\\.0\\.0\\.1:${HEALTH_PORT}: connect ECONNREFUSED.*\n$`))
    const role = start('worker', { HEALTH_PORT, HOST: '0.0.0.0' })
    await role.said(`waiting for ${basePlace}`)
    assert.deepEqual(await health({ HEALTH_PORT, HOST: '0.0.0.0' }), [1, `waiting for ${basePlace}\n`])
    await addBase()
    await role.said(READY.worker)
    assert.deepEqual(await health({ HEALTH_PORT, HOST: '0.0.0.0' }), [0, ''])
  })
})

async function readiness (role: RoleProcess): Promise<[number, unknown]> {
  const { status, text } = await role.ask('/readyz')
  return [status, JSON.parse(text)]
}

async function untilStatus (role: RoleProcess, status: number): Promise<void> {
  while ((await role.ask('/readyz')).status !== status) await new Promise(setImmediate)
}

/** `permafrost health`: its exit code, and all that it says. */
async function health (settings: Readonly<Record<string, string>>): Promise<[number | null, string]> {
  const { code, stdout, stderr } = await permafrost(environment('/nowhere', settings), ['health'])
  return [code, stdout + stderr]
}

async function freePort (): Promise<number> {
  const server = createServer()
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  await new Promise(resolve => server.close(resolve))
  return port
}
