import assert from 'node:assert/strict'
import { after, before, suite, test } from 'node:test'
import { openTestbed, refused, type Testbed } from './testbed.js'

suite('API keys', () => {
  let bed: Testbed
  before(async () => { bed = await openTestbed() })
  after(async () => await bed.close())

  test('are found by their secret, with tenant and scopes', async () => {
    const { secret, ...key } = await bed.registry.createKey('finds', 'ci', ['infer', 'train'])
    assert.match(secret, /^pf_[A-Za-z0-9_-]{43}$/)
    assert.deepEqual(await bed.registry.findKey(secret), key)
    assert.deepEqual(await bed.registry.listKeys('finds'), [key])
  })

  test('are refused at once after they were revoked, by every process', async () => {
    const other = await bed.connect()
    const { secret, id } = await bed.registry.createKey('revokes', 'ci', ['infer'])
    assert.notEqual(await other.findKey(secret), null)
    await bed.registry.revokeKey('revokes', id)
    assert.equal(await other.findKey(secret), null)
    assert.deepEqual(await bed.registry.listKeys('revokes'), [])
    await assert.rejects(bed.registry.revokeKey('revokes', id), refused('key_not_found'))
  })

  test('of another tenant can be neither listed nor revoked', async () => {
    const { secret, id } = await bed.registry.createKey('owner', 'ci', ['admin'])
    assert.deepEqual(await bed.registry.listKeys('stranger'), [])
    await assert.rejects(bed.registry.revokeKey('stranger', id), refused('key_not_found'))
    assert.notEqual(await bed.registry.findKey(secret), null)
  })

  test('leave no secret in Redis', async () => {
    const { secret } = await bed.registry.createKey('hashes', 'ci', ['infer'])
    for (const name of await bed.redis.keys('*')) {
      assert.ok(!name.includes(secret))
      const type = await bed.redis.type(name)
      const content = type === 'hash' ? JSON.stringify(await bed.redis.hgetall(name)) : type === 'string' ? await bed.redis.get(name) : ''
      assert.ok(!content?.includes(secret), `${name} holds the secret`)
    }
  })

  test('with a foreign shape are unknown without asking Redis', async () => {
    for (const secret of ['', 'pf_', 'pf_' + 'x'.repeat(42), 'sk-' + 'x'.repeat(43), 'pf_' + '*'.repeat(43)]) assert.equal(await bed.registry.findKey(secret), null)
  })

  test('need a tenant with a name that is one', async () => {
    for (const tenant of ['', 'A', '-a', 'a:b', 'a}b', 'x'.repeat(40)]) await assert.rejects(bed.registry.createKey(tenant, 'ci', ['infer']), { code: 'invalid_request', param: 'tenant' })
  })
})
