import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, suite, test } from 'node:test'
import { pathToFileURL } from 'node:url'
import { Redis } from 'ioredis'
import { type HomePaths, homePaths } from '../../src/supervisor/home.js'
import { identityOf } from '../../src/supervisor/process-identity.js'
import { findOrInstallRedis } from '../../src/supervisor/redis-program.js'
import { privateRedisUrl, startRedis } from '../../src/supervisor/redis.js'
import { readyToAccept, startRedis as startForeignRedis } from '../support/redis.js'
import { allEnded } from '../support/service.js'

const noProgram = (): string => { throw new Error('no program is needed') }
const onPath = (): string => findOrInstallRedis(() => {})

async function withRedis<T> (url: string, work: (redis: Redis) => Promise<T>): Promise<T> {
  const redis = new Redis(url)
  try {
    return await work(redis)
  } finally {
    redis.disconnect()
  }
}

suite('startRedis()', () => {
  let home: string
  let paths: HomePaths
  before(async () => {
    home = await mkdtemp(join(tmpdir(), 'permafrost-home-'))
    paths = homePaths(home)
  })
  after(async () => await rm(home, { recursive: true, force: true }))

  const pidOf = async (): Promise<number> => Number(await readFile(join(paths.redis, 'redis.pid'), 'utf8'))

  test('runs a private server with append-only file and noeviction, and ends it', async () => {
    const running = await startRedis(undefined, onPath, paths, () => {})
    await withRedis(running.url, async redis => {
      assert.deepEqual(await redis.config('GET', 'appendonly'), ['appendonly', 'yes'])
      assert.deepEqual(await redis.config('GET', 'maxmemory-policy'), ['maxmemory-policy', 'noeviction'])
      assert.deepEqual(await redis.config('GET', 'port'), ['port', '0'])
      await redis.set('kept', 'yes')
    })
    const pid = await pidOf()
    await running.stop()
    assert.equal(identityOf(pid), null)
  })

  test('starts a killed server again at the same address with the same data', async () => {
    let back: () => void
    const restarted = new Promise<void>(resolve => { back = resolve })
    const running = await startRedis(undefined, onPath, paths, line => { if (line.includes('is back')) back() })
    try {
      await withRedis(running.url, async redis => {
        assert.equal(await redis.get('kept'), 'yes')
        await redis.set('acknowledged', '1')
      })
      process.kill(await pidOf(), 'SIGKILL')
      await restarted
      assert.equal(await withRedis(running.url, async redis => await redis.get('acknowledged')), '1')
    } finally {
      await running.stop()
    }
  })

  test('the server ends when its supervisor is killed, and the next start reads its data', async () => {
    const file = pathToFileURL(join(import.meta.dirname, '..', '..', 'src', 'supervisor', 'redis.js')).href
    const script = `const { startRedis } = await import('${file}')
      const running = await startRedis(undefined, () => '${onPath()}', ${JSON.stringify(paths)}, () => {})
      console.log(running.url)`
    const supervisor = spawn(process.execPath, ['--input-type=module', '-e', script], { stdio: ['ignore', 'pipe', 'inherit'] })
    await once(supervisor.stdout, 'data')
    const server = identityOf(await pidOf()) ?? assert.fail('no server runs')
    supervisor.kill('SIGKILL')
    await allEnded([server])
  })

  test('a leftover server of the same home is ended before a new one starts', async () => {
    const config = join(paths.redis, 'redis.conf')
    const leftover = spawn(onPath(), [config], { stdio: ['ignore', 'pipe', 'inherit'], detached: true })
    await readyToAccept(leftover)
    await withRedis(privateRedisUrl(paths), async redis => await redis.set('left', 'over'))
    const lines: string[] = []
    const running = await startRedis(undefined, onPath, paths, line => lines.push(line))
    try {
      assert.match(lines.join('\n'), new RegExp(`process ${leftover.pid ?? ''}\\); stopping it`))
      assert.notEqual(await pidOf(), leftover.pid)
      assert.equal(await withRedis(running.url, async redis => await redis.get('left')), 'over')
    } finally {
      await running.stop()
    }
  })

  test('uses the server of REDIS_URL and says loudly when it forgets', async () => {
    const foreign = await startForeignRedis({ extraArguments: ['--maxmemory-policy', 'allkeys-lru'] })
    try {
      const lines: string[] = []
      const running = await startRedis(foreign.url, noProgram, paths, line => lines.push(line))
      assert.equal(running.url, foreign.url)
      assert.deepEqual(lines.map(line => line.split(':')[0]), ['WARNING'])
      assert.match(lines[0] ?? '', /allkeys-lru/)
      await running.stop()
      assert.equal(await withRedis(foreign.url, async redis => await redis.ping()), 'PONG')
    } finally {
      await foreign.stop()
    }
  })

  test('says so when REDIS_URL does not answer', async () => {
    await assert.rejects(startRedis('redis://127.0.0.1:1', noProgram, paths, () => {}), /REDIS_URL does not answer/)
  })

  test('puts the socket elsewhere when the home path is too long for one', () => {
    const long = homePaths(join(home, 'x'.repeat(120)))
    assert.ok(join(long.sockets, 'inference.sock').length <= 107)
    assert.equal(long.sockets, homePaths(join(home, 'x'.repeat(120))).sockets)
  })
})
