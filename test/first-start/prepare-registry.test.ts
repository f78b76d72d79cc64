import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, afterEach, before, beforeEach, suite, test } from 'node:test'
import { Redis } from 'ioredis'
import { prepareRegistry, type PreparedRegistry } from '../../src/first-start/prepare-registry.js'
import { newSecret } from '../../src/registry/api-keys.js'
import { DEFAULT_TENANT } from '../../src/registry/names.js'
import { apiKeysKey, tasksKey } from '../../src/registry/redis-keys.js'
import { RedisRegistry } from '../../src/registry/redis-registry.js'
import { SCOPES } from '../../src/registry/registry.js'
import { openStores } from '../../src/registry/store/open-stores.js'
import { type RedisServer, startRedis } from '../support/redis.js'
import { manifest, writeExample } from './example-folder.js'

const SECRET = newSecret()
const NAMES = ['poet', 'writer']

suite('prepareRegistry()', () => {
  let server: RedisServer
  let redis: Redis
  let examples: string
  let home: string
  let opened: RedisRegistry[]
  let registry: RedisRegistry
  before(async () => {
    server = await startRedis()
    redis = new Redis(server.url)
    examples = await mkdtemp(join(tmpdir(), 'permafrost-examples-'))
    for (const name of NAMES) await writeExample(examples, name)
  })
  after(async () => {
    redis.disconnect()
    await server.stop()
    await rm(examples, { recursive: true, force: true })
  })
  beforeEach(async () => {
    opened = []
    await renew()
  })
  afterEach(close)

  /** A new registry with a new store. */
  async function renew (): Promise<void> {
    await redis.flushall()
    home = await mkdtemp(join(tmpdir(), 'permafrost-first-start-'))
    registry = await connect()
  }

  async function close (): Promise<void> {
    for (const each of opened.splice(0)) await each.close()
    await rm(home, { recursive: true, force: true })
  }

  async function connect (): Promise<RedisRegistry> {
    const { objects } = await openStores({ PERMAFROST_HOME: home })
    const connected = await RedisRegistry.connect({ url: server.url, objects, whenDown: 'fail' })
    opened.push(connected)
    return connected
  }

  async function prepare (firstKey: string | undefined = undefined, as: RedisRegistry = registry): Promise<PreparedRegistry> {
    const { artifacts } = await openStores({ PERMAFROST_HOME: home })
    return await prepareRegistry({ registry: as, artifacts, base: manifest, firstKey, examples })
  }

  const tasks = async (): Promise<string[]> => (await registry.listTasks(DEFAULT_TENANT)).map(({ name }) => name)

  async function assertRegisteredOnce (): Promise<void> {
    const { objects } = await openStores({ PERMAFROST_HOME: home })
    assert.deepEqual(await tasks(), NAMES)
    for (const name of NAMES) {
      const versions = await registry.listVersions(DEFAULT_TENANT, name)
      assert.deepEqual(versions.map(({ number, job }) => [number, job]), [[1, null]])
      assert.equal((await registry.aliasHistory(DEFAULT_TENANT, name, 'production')).length, 1)
      // The store, from which an index can be made again, has heard of the same version.
      const [record, ...others] = await Promise.all((await objects.list('versions/')).filter(key => key.includes(`/${name}/`)).map(async key => Buffer.from((await objects.get(key))!).toString()))
      assert.deepEqual(others, [])
      assert.ok(record?.includes(versions[0]!.createdAt), record)
    }
  }

  test('registers the examples and makes the first key of the given secret', async () => {
    const prepared = await prepare(SECRET)
    assert.deepEqual(prepared.examples.map(({ name }) => name), NAMES)
    assert.equal(prepared.hasKeys, true)
    const key = await registry.findKey(SECRET)
    assert.deepEqual(key, prepared.firstKey)
    assert.deepEqual([key?.tenant, key?.scopes], [DEFAULT_TENANT, SCOPES])
    await assertRegisteredOnce()
  })

  test('two that start at once make one key and one version of each example', async () => {
    for (let round = 0; round < 20; round++) {
      const other = await connect()
      const both = await Promise.all([prepare(SECRET), prepare(SECRET, other)])
      assert.equal(both.filter(({ firstKey }) => firstKey !== null).length, 1)
      for (const prepared of both) assert.deepEqual([prepared.hasKeys, prepared.examples.length], [true, 2])
      assert.deepEqual(await registry.listKeys(DEFAULT_TENANT), [await registry.findKey(SECRET)])
      await assertRegisteredOnce()
      await close()
      await renew()
    }
  })

  test('two that start at once with different secrets make a key of one of them', async () => {
    const secrets = [SECRET, newSecret()]
    const other = await connect()
    await Promise.all([prepare(secrets[0]), prepare(secrets[1], other)])
    const found = (await Promise.all(secrets.map(async secret => await registry.findKey(secret)))).filter(key => key !== null)
    assert.deepEqual(await registry.listKeys(DEFAULT_TENANT), found)
    assert.equal(found.length, 1)
  })

  test('makes no key without a secret, says that there is none, and makes it when a later start brings one', async () => {
    assert.deepEqual([(await prepare()).hasKeys, (await prepare()).firstKey], [false, null])
    assert.notEqual((await prepare(SECRET)).firstKey, null)
    await assertRegisteredOnce()
  })

  test('leaves a registry with keys alone, whatever secret is given', async () => {
    const { id } = await registry.createKey(DEFAULT_TENANT, 'of the operator', ['admin'])
    assert.deepEqual([(await prepare(SECRET)).firstKey, await registry.findKey(SECRET)], [null, null])
    assert.deepEqual((await registry.listKeys(DEFAULT_TENANT)).map(key => key.id), [id])
  })

  test('a first key that was revoked does not come back, and that no key is left is said', async () => {
    const { firstKey } = await prepare(SECRET)
    await registry.revokeKey(DEFAULT_TENANT, firstKey!.id)
    const again = await prepare(SECRET)
    assert.deepEqual([again.firstKey, again.hasKeys, await registry.findKey(SECRET)], [null, false, null])
    assert.equal((await prepare(newSecret())).firstKey, null)
  })

  test('an example that was deleted stays deleted, also when no key is left', async () => {
    const { firstKey } = await prepare(SECRET)
    await registry.deleteTask(DEFAULT_TENANT, 'poet')
    assert.deepEqual((await prepare(SECRET)).examples.map(({ name }) => name), ['writer'])
    await registry.revokeKey(DEFAULT_TENANT, firstKey!.id)
    await prepare()
    assert.deepEqual(await tasks(), ['writer'])
  })

  test('an index that was lost gets its examples again from the store that was not', async () => {
    await prepare(SECRET)
    await redis.flushall()
    assert.deepEqual([(await prepare(SECRET)).examples.length, await tasks()], [2, NAMES])
  })

  test('leaves to a newer version what that has written', async () => {
    await prepare(SECRET)
    await redis.hset(tasksKey(DEFAULT_TENANT), 'poet', '{"schema":99}')
    await redis.hset(apiKeysKey(DEFAULT_TENANT), 'key_new', '{"schema":99}')
    const { examples, hasKeys, firstKey } = await prepare(newSecret())
    assert.deepEqual([examples.map(({ name }) => name), hasKeys, firstKey], [['writer'], true, null])
  })

  test('a start that was cut off before the key goes through all examples again', async () => {
    await prepare()
    await registry.deleteTask(DEFAULT_TENANT, 'poet')
    await prepare(SECRET)
    assert.deepEqual(await tasks(), NAMES)
  })
})
