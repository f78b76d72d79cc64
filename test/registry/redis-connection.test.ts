import assert from 'node:assert/strict'
import { type AddressInfo, createServer, type Socket } from 'node:net'
import { after, before, suite, test } from 'node:test'
import { Redis } from 'ioredis'
import { ConfigError } from '../../src/config.js'
import { openRedis, redisPlace } from '../../src/registry/redis-connection.js'
import { type RedisServer, startRedis } from '../support/redis.js'

suite('a connection to Redis', () => {
  let redis: RedisServer
  before(async () => { redis = await startRedis() })
  after(async () => await redis.stop())

  test('is named by its place, without password and user', () => {
    assert.deepEqual(['redis://redis:6379', 'rediss://someone:secret@cache.example:7000/3', 'redis://:secret@[::1]', '/run/redis.sock'].map(redisPlace), [
      'Redis at redis:6379', 'Redis at cache.example:7000', 'Redis at ::1:6379', 'Redis at /run/redis.sock'
    ])
  })

  test('is tried once or for a while, and the failure says why', async () => {
    await redis.kill9()
    const unavailable = (error: unknown): boolean => error instanceof Error && 'code' in error && error.code === 'registry_unavailable' &&
      error.message === `${redisPlace(redis.url)} does not answer` && (error.cause as Error).message.startsWith('connect ECONNREFUSED')
    await assert.rejects(openRedis(redis.url, 'fail', assert.fail, 0), unavailable)
    const opened = openRedis(redis.url, 'fail', () => {}, 20_000)
    await redis.restart()
    const connection = await opened
    assert.equal(await connection.ping(), 'PONG')
    connection.disconnect()
  })

  test('to a server that says nothing fails', async () => {
    const sockets: Socket[] = []
    const server = createServer(socket => { sockets.push(socket) }).listen(0, '127.0.0.1')
    try {
      await new Promise(resolve => server.once('listening', resolve))
      const url = `redis://127.0.0.1:${(server.address() as AddressInfo).port}`
      await assert.rejects(openRedis(url, 'wait', () => {}, 0), (error: Error) => /takes connections but no commands/.test((error.cause as Error).message))
    } finally {
      for (const socket of sockets) socket.destroy()
      server.close()
    }
  })

  test('with a password that is refused, or with none where one is needed, is bad configuration', async () => {
    const admin = new Redis(redis.url)
    await admin.config('SET', 'requirepass', 'right')
    admin.disconnect()
    const withPassword = (password: string): string => redis.url.replace('://', `://:${password}@`)
    for (const [url, reason] of [[redis.url, 'NOAUTH'], [withPassword('wrong'), 'WRONGPASS']] as const) {
      await assert.rejects(openRedis(url, 'fail', () => {}, 20_000), (error: unknown) => error instanceof ConfigError && error.message.includes(reason) && !error.message.includes('wrong@'))
    }
    const connection = await openRedis(withPassword('right'), 'fail', assert.fail, 0)
    connection.disconnect()
  })
})
