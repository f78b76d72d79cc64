import assert from 'node:assert/strict'
import { after, before, suite, test } from 'node:test'
import { digestOf } from '../../src/digest.js'
import { openTestbed, type Testbed } from './testbed.js'

const REQUEST = digestOf('POST /v1/training-jobs {}')
const conflict = { code: 'idempotency_conflict', param: 'idempotency-key' }

suite('Idempotency-Key', () => {
  let bed: Testbed
  before(async () => { bed = await openTestbed() })
  after(async () => await bed.close())

  test('gives the first answer again', async () => {
    assert.equal(await bed.registry.reserveIdempotency('a', 'key', REQUEST), null)
    await bed.registry.storeIdempotent('a', 'key', REQUEST, '{"id":"job_1"}')
    const other = await bed.connect()
    assert.equal(await other.reserveIdempotency('a', 'key', REQUEST), '{"id":"job_1"}')
  })

  test('is claimed by one of many, and the others are told to come back', async () => {
    const results = await Promise.allSettled(Array.from({ length: 8 }, async () => await bed.registry.reserveIdempotency('a', 'race', REQUEST)))
    assert.equal(results.filter(({ status }) => status === 'fulfilled').length, 1)
    await assert.rejects(bed.registry.reserveIdempotency('a', 'race', REQUEST), { ...conflict, retryAfter: 1 })
  })

  test('conflicts with another request', async () => {
    await bed.registry.reserveIdempotency('a', 'other', REQUEST)
    await assert.rejects(bed.registry.reserveIdempotency('a', 'other', digestOf('else')), { ...conflict, retryAfter: undefined })
  })

  test('is free again after a failure, but an answer stays', async () => {
    await bed.registry.reserveIdempotency('a', 'fails', REQUEST)
    await bed.registry.releaseIdempotency('a', 'fails', REQUEST)
    assert.equal(await bed.registry.reserveIdempotency('a', 'fails', REQUEST), null)
    await bed.registry.storeIdempotent('a', 'fails', REQUEST, 'done')
    await bed.registry.releaseIdempotency('a', 'fails', REQUEST)
    assert.equal(await bed.registry.reserveIdempotency('a', 'fails', REQUEST), 'done')
  })

  test('of another tenant is another key', async () => {
    await bed.registry.reserveIdempotency('a', 'mine', REQUEST)
    assert.equal(await bed.registry.reserveIdempotency('b', 'mine', REQUEST), null)
  })

  test('is forgotten after 24 hours', async () => {
    await bed.registry.storeIdempotent('c', 'key', REQUEST, 'x')
    const [name] = await bed.redis.keys('pf:t:{c}:idempotency:*')
    const seconds = await bed.redis.ttl(name ?? '')
    assert.ok(seconds > 24 * 3600 - 60 && seconds <= 24 * 3600)
  })
})
