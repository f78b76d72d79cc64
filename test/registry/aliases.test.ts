import assert from 'node:assert/strict'
import { after, before, beforeEach, suite, test } from 'node:test'
import { openTestbed, refused, task, type Testbed, version } from './testbed.js'

suite('aliases', () => {
  let bed: Testbed
  let tenant: string
  let count = 0
  before(async () => { bed = await openTestbed() })
  after(async () => await bed.close())
  beforeEach(async () => {
    tenant = `tenant-${count++}`
    await bed.registry.createTask(tenant, task('t'))
    for (const content of ['1', '2', '3']) await bed.registry.publishVersion(tenant, 't', version(content, { alias: null }))
  })

  test('move only for who saw the current etag', async () => {
    const first = await bed.registry.moveAlias(tenant, 't', 'production', 1, { by: 'a' })
    const second = await bed.registry.moveAlias(tenant, 't', 'production', 2, { ifMatch: first.etag, by: 'a' })
    assert.notEqual(second.etag, first.etag)
    await assert.rejects(bed.registry.moveAlias(tenant, 't', 'production', 3, { ifMatch: first.etag, by: 'b' }), (error: unknown) => {
      assert.ok(error instanceof Error && 'code' in error)
      assert.equal(error.code, 'alias_moved')
      assert.ok(error.message.includes(second.etag))
      return true
    })
    assert.deepEqual(await bed.registry.getAlias(tenant, 't', 'production'), second)
    await assert.rejects(bed.registry.moveAlias(tenant, 't', 'fresh', 1, { ifMatch: first.etag, by: 'b' }), refused('alias_moved'))
  })

  test('of two movers with the same etag, one wins', async () => {
    const { etag } = await bed.registry.moveAlias(tenant, 't', 'production', 1, { by: 'a' })
    const other = await bed.connect()
    const results = await Promise.allSettled([2, 3].map(async number => await (number === 2 ? bed.registry : other).moveAlias(tenant, 't', 'production', number, { ifMatch: etag, by: String(number) })))
    assert.deepEqual(results.map(({ status }) => status).sort(), ['fulfilled', 'rejected'])
    const winner = results[0]?.status === 'fulfilled' ? 2 : 3
    assert.equal((await bed.registry.getAlias(tenant, 't', 'production')).version, winner)
    assert.deepEqual((await bed.registry.aliasHistory(tenant, 't', 'production')).map(({ from, to, by }) => ({ from, to, by })), [
      { from: 1, to: winner, by: String(winner) },
      { from: null, to: 1, by: 'a' }
    ])
  })

  test('go back to where they pointed before their last move', async () => {
    await bed.registry.moveAlias(tenant, 't', 'production', 1, { by: 'a' })
    await assert.rejects(bed.registry.rollbackAlias(tenant, 't', 'production', 'b'), refused('version_not_found'))
    await bed.registry.moveAlias(tenant, 't', 'production', 3, { by: 'a' })
    assert.equal((await bed.registry.rollbackAlias(tenant, 't', 'production', 'b')).version, 1)
    assert.equal((await bed.registry.resolve(tenant, 't')).version.number, 1)
    assert.equal((await bed.registry.rollbackAlias(tenant, 't', 'production', 'b')).version, 3)
    await assert.rejects(bed.registry.rollbackAlias(tenant, 't', 'other', 'b'), refused('alias_not_found'))
  })

  test('stay, etag and history included, when moved to where they point', async () => {
    await bed.registry.moveAlias(tenant, 't', 'production', 1, { by: 'a' })
    const moved = await bed.registry.moveAlias(tenant, 't', 'production', 2, { by: 'a' })
    assert.deepEqual(await bed.registry.moveAlias(tenant, 't', 'production', 2, { by: 'a' }), moved)
    assert.equal((await bed.registry.aliasHistory(tenant, 't', 'production')).length, 2)
    assert.equal((await bed.registry.rollbackAlias(tenant, 't', 'production', 'a')).version, 1)
  })

  test('have each its own history', async () => {
    await bed.registry.moveAlias(tenant, 't', 'production', 1, { by: 'a' })
    await bed.registry.moveAlias(tenant, 't', 'staging', 2, { by: 'a' })
    assert.deepEqual((await bed.registry.aliasHistory(tenant, 't', 'staging')).map(({ to }) => to), [2])
    assert.deepEqual((await bed.registry.listAliases(tenant, 't')).map(({ name, version: number }) => [name, number]), [['production', 1], ['staging', 2]])
    await assert.rejects(bed.registry.aliasHistory(tenant, 't', 'other'), refused('alias_not_found'))
  })

  test('point to versions that exist, under names that are no numbers', async () => {
    await assert.rejects(bed.registry.moveAlias(tenant, 't', 'production', 4, { by: 'a' }), refused('version_not_found'))
    await assert.rejects(bed.registry.moveAlias(tenant, 't', '7', 1, { by: 'a' }), { code: 'invalid_request', param: 'alias' })
    await assert.rejects(bed.registry.moveAlias(tenant, 'absent', 'production', 1, { by: 'a' }), refused('task_not_found'))
  })
})
