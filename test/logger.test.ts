import assert from 'node:assert/strict'
import { once } from 'node:events'
import { after, before, suite, test } from 'node:test'
import { Redis } from 'ioredis'
import { createLogger } from '../src/logger.js'
import { openRedis } from '../src/registry/redis-connection.js'
import { type RedisServer, startRedis } from './support/redis.js'

suite('createLogger()', () => {
  let server: RedisServer
  before(async () => { server = await startRedis() })
  after(async () => await server.stop())

  test('writes why Redis refused a command, not what the command was', async () => {
    const lines: string[] = []
    const logger = createLogger('api', 'info', { write: (line: string) => { lines.push(line) } })

    const stranger = new Redis(server.url.replace('//', '//nobody:a-password@'), { retryStrategy: () => null })
    const [refused] = await once(stranger, 'error')
    logger.warn({ err: refused }, 'Redis')
    stranger.disconnect()

    const redis = await openRedis(server.url, 'fail', () => {}, 10_000)
    await redis.set('text', 'x')
    await redis.hset('text', 'task', 'a-private-label').catch((err: unknown) => logger.error({ err }, 'request failed'))
    redis.disconnect()

    assert.deepEqual(lines.map(line => JSON.parse(line).err.message.split(' ')[0]), ['WRONGPASS', 'WRONGTYPE'])
    assert.doesNotMatch(lines.join(''), /a-password|a-private-label/)
  })
})
