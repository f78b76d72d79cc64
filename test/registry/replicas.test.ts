import assert from 'node:assert/strict'
import { after, before, beforeEach, suite, test } from 'node:test'
import { REPLICA_HEARTBEATS, REPLICAS } from '../../src/registry/redis-keys.js'
import { announceReplica, listReplicas, LOST_MS, removeReplica } from '../../src/registry/replicas.js'
import { openTestbed, type Testbed } from './testbed.js'

const ONE = { id: 'one', url: 'http://10.0.0.1:7070' }
const TWO = { id: 'two', url: 'http://10.0.0.2:7070' }

suite('replicas', () => {
  let bed: Testbed
  /** Ids of the `replica` events that another process heard. */
  let heard: string[]
  before(async () => {
    bed = await openTestbed()
    const other = await bed.connect()
    other.onEvent(event => { if (event.type === 'replica') heard.push(event.id) })
  })
  after(async () => await bed.close())
  beforeEach(async () => {
    await bed.redis.del(REPLICAS, REPLICA_HEARTBEATS)
    heard = []
  })

  const ids = async (): Promise<string[]> => (await bed.registry.listReplicas()).replicas.map(({ id }) => id).sort()
  const lastSpoke = async (id: string, msAgo: number): Promise<void> => {
    const [seconds, micros] = await bed.redis.time()
    await bed.redis.zadd(REPLICA_HEARTBEATS, Number(seconds) * 1000 + Math.floor(Number(micros) / 1000) - msAgo, id)
  }
  /** Events are delivered in order: what was published before this one has been heard. */
  const eventsUntil = async (id: string): Promise<string[]> => {
    await removeReplica(bed.redis, id)
    while (!heard.includes(id)) await new Promise(setImmediate)
    return heard.slice(0, -1)
  }

  test('are listed as soon as they say where they are; the first time everyone is told, with a heartbeat nobody', async () => {
    assert.deepEqual(await bed.registry.listReplicas(), { replicas: [], refused: [] })
    await announceReplica(bed.redis, ONE)
    await announceReplica(bed.redis, ONE)
    await announceReplica(bed.redis, TWO)
    assert.deepEqual(await ids(), ['one', 'two'])
    assert.deepEqual((await bed.registry.listReplicas()).replicas.find(({ id }) => id === 'one'), ONE)
    assert.deepEqual(await eventsUntil('end'), ['one', 'two'])
  })

  test('are gone at once when they end in order, and everyone is told', async () => {
    await announceReplica(bed.redis, ONE)
    await announceReplica(bed.redis, TWO)
    await removeReplica(bed.redis, 'one')
    assert.deepEqual(await ids(), ['two'])
    assert.deepEqual(await eventsUntil('end'), ['one', 'two', 'one'])
  })

  test('are lost when they say nothing for 4 s by the clock of Redis, and forgotten when another speaks', async () => {
    assert.equal(LOST_MS, 4000)
    await announceReplica(bed.redis, ONE)
    await announceReplica(bed.redis, TWO)
    await lastSpoke('one', LOST_MS - 1500)
    assert.deepEqual(await ids(), ['one', 'two'])
    await lastSpoke('one', LOST_MS + 1)
    assert.deepEqual(await ids(), ['two'])
    await announceReplica(bed.redis, TWO)
    assert.deepEqual([await bed.redis.hkeys(REPLICAS), await bed.redis.zrange(REPLICA_HEARTBEATS, '0', '-1')], [['two'], ['two']])
    await announceReplica(bed.redis, ONE)
    assert.deepEqual(await eventsUntil('end'), ['one', 'two', 'one'])
  })

  test('of a newer version are refused by name and hide no others', async () => {
    await announceReplica(bed.redis, ONE)
    await announceReplica(bed.redis, TWO)
    await bed.redis.hset(REPLICAS, 'two', JSON.stringify({ schema: 2, address: ['10.0.0.2', 7070] }))
    const { replicas, refused } = await listReplicas(bed.redis)
    assert.deepEqual(replicas, [ONE])
    assert.equal(refused.length, 1)
    assert.match(refused[0]!, /inference process two is stored with schema 2/)
  })
})
