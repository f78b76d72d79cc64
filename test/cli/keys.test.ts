import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, suite, test } from 'node:test'
import { RedisRegistry } from '../../src/registry/redis-registry.js'
import { SCOPES } from '../../src/registry/registry.js'
import { openStores } from '../../src/registry/store/open-stores.js'
import { type RedisServer, startRedis } from '../support/redis.js'
import { type CommandResult, environment, permafrost } from '../support/service.js'

suite('permafrost keys, of an operator who has Redis and no key yet', () => {
  let home: string
  let redis: RedisServer
  let registry: RedisRegistry
  before(async () => {
    home = await mkdtemp(join(tmpdir(), 'permafrost-keys-'))
    redis = await startRedis()
    registry = await RedisRegistry.connect({ url: redis.url, objects: (await openStores({ PERMAFROST_HOME: home })).objects, whenDown: 'fail' })
  })
  after(async () => {
    await registry.close()
    await redis.stop()
    await rm(home, { recursive: true, force: true })
  })

  const run = async (args: string[], settings: Record<string, string> = {}): Promise<CommandResult> =>
    await permafrost(environment(home, { REDIS_URL: redis.url, ...settings }), ['keys', ...args])

  const tenants = async (...args: string[]): Promise<CommandResult> => await permafrost(environment(home, { REDIS_URL: redis.url }), ['tenants', ...args])

  test('create makes a key of the default tenant with every scope and shows it once', async () => {
    const { code, stdout, stderr } = await run(['create'])
    assert.deepEqual([code, stderr], [0, ''])
    const [, secret] = /^key_\S+ \(infer, train, publish, admin\); the secret is shown this once:\n(pf_[A-Za-z0-9_-]{43})\n$/.exec(stdout) ?? []
    const key = await registry.findKey(secret ?? '')
    assert.deepEqual([key?.tenant, key?.scopes], ['default', SCOPES])

    const listed = await run(['list'])
    assert.ok(listed.stdout.startsWith(`${key!.id}  `), listed.stdout)
    assert.ok(!listed.stdout.includes(secret!))
    assert.equal((await run(['revoke', key!.id])).code, 0)
    assert.equal(await registry.findKey(secret!), null)
  })

  test('the operator of the machine gives a tenant its weight, without a key', async () => {
    await registry.createKey('weighty', 'ci', ['infer'])
    assert.equal((await tenants('weight', 'weighty')).stdout, 'weighty has weight 1\n')
    assert.deepEqual(JSON.parse((await tenants('weight', 'weighty', '2', '--json')).stdout), { tenant: 'weighty', weight: 2 })
    assert.equal(await registry.tenantWeight('weighty'), 2)
    assert.equal((await tenants('weight', 'weighty', '1000')).code, 1)
    assert.equal((await tenants('weight', 'weighty', 'much')).code, 2)
    assert.equal(await registry.tenantWeight('weighty'), 2)
  })

  test('create follows what is named', async () => {
    const { stdout } = await run(['create', '--scopes', 'infer', '--name', 'a script', '--json'])
    const { secret } = JSON.parse(stdout) as { secret: string }
    const key = await registry.findKey(secret)
    assert.deepEqual([key?.tenant, key?.name, key?.scopes], ['default', 'a script', ['infer']])
    const other = JSON.parse((await run(['create', '--tenant', 'acme', '--json'])).stdout) as { secret: string }
    assert.equal((await registry.findKey(other.secret))?.tenant, 'acme')
  })

  test('who has a key asks the server with it, be it in a variable or in the home folder', async () => {
    const before = await registry.listKeys('default')
    const asked = { PERMAFROST_URL: 'http://127.0.0.1:1' }
    const byVariable = await run(['create', '--scopes', 'infer'], { ...asked, PERMAFROST_API_KEY: 'pf_x' })
    await writeFile(join(home, 'api-key'), 'pf_x\n')
    const byFile = await run(['create', '--scopes', 'infer'], asked)
    for (const { code, stderr } of [byVariable, byFile]) {
      assert.equal(code, 1)
      assert.match(stderr, /^no Permafrost answers at http:\/\/127\.0\.0\.1:1 /)
    }
    const withoutScopes = await run(['create'])
    assert.equal(withoutScopes.code, 2)
    assert.match(withoutScopes.stderr, /^--scopes is missing: a list of infer, train, publish, admin\n/)
    assert.deepEqual(await registry.listKeys('default'), before)
  })
})
