import assert from 'node:assert/strict'
import { after, before, suite, test } from 'node:test'
import { openTestbed, refused, type Testbed } from './testbed.js'

suite('weights of tenants', () => {
  let bed: Testbed
  before(async () => { bed = await openTestbed() })
  after(async () => await bed.close())

  test('are 1 until an operator says otherwise, each tenant its own, seen by every process', async () => {
    const other = await bed.connect()
    await bed.registry.createKey('heavy', 'ci', ['infer'])
    await bed.registry.createKey('usual', 'ci', ['infer'])
    assert.equal(await other.tenantWeight('heavy'), 1)
    await bed.registry.setTenantWeight('heavy', 2.5)
    assert.deepEqual([await other.tenantWeight('heavy'), await other.tenantWeight('usual'), await other.tenantWeight('nobody')], [2.5, 1, 1])
  })

  test('have bounds, and belong to a tenant that has had a key', async () => {
    await bed.registry.createKey('bounds', 'ci', ['infer'])
    for (const weight of [0, 0.009, -1, 100.1, NaN, Infinity]) await assert.rejects(bed.registry.setTenantWeight('bounds', weight), refused('invalid_request'))
    await assert.rejects(bed.registry.setTenantWeight('never-seen', 2), refused('invalid_request'))
    await assert.rejects(bed.registry.setTenantWeight('no:tenant', 2), refused('invalid_request'))
    assert.equal(await bed.registry.tenantWeight('bounds'), 1)
  })
})
