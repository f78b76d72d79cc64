/** Records in Redis that a version of schema 2 has written are refused by name and stay as they are. */
import assert from 'node:assert/strict'
import { after, before, suite, test } from 'node:test'
import { Redis } from 'ioredis'
import { digestOf, hexOf } from '../../src/digest.js'
import type { RedisRegistry } from '../../src/registry/redis-registry.js'
import type { NewVersion } from '../../src/registry/registry.js'
import { openTestbed as openApi } from '../api/testbed.js'
import { type ReceivedJobEvent, receivedEvents } from '../api/server-sent-events.js'
import { facts, loadSnapshot, redisCommands, storedEvents } from './snapshot.js'
import { ofSchema2, openTestbed, refused, type Testbed } from './testbed.js'

const { tenant, jobs, secret, posts } = facts
const key = (...parts: string[]): string => `pf:t:{${tenant}}:${parts.join(':')}`
const idOf = (hash: string): string => redisCommands.find(command => command[1] === hash)![2]!

const file = idOf(key('files'))
const apiKey = idOf(key('keys'))
const version = (options: Partial<NewVersion> = {}): NewVersion => ({ digest: digestOf('new'), method: 'prefix-tuning', numVirtualTokens: 4, metrics: {}, job: null, alias: 'production', by: 'a test', ...options })

interface NewerRecord {
  /** As the message calls it. */
  readonly what: string
  readonly key: string
  /** Of a hash; an index of a list; absent: the key is a string. */
  readonly field?: string | number
  /** Each is refused. */
  readonly calls: ReadonlyArray<(registry: RedisRegistry) => Promise<unknown>>
}

const RECORDS: readonly NewerRecord[] = [
  { what: 'an API key', key: `pf:key:${hexOf(digestOf(secret))}`, calls: [r => r.findKey(secret)] },
  { what: `key ${apiKey}`, key: key('keys'), field: apiKey, calls: [r => r.listKeys(tenant), r => r.revokeKey(tenant, apiKey)] },
  {
    what: 'task animals',
    key: key('tasks'),
    field: 'animals',
    calls: [
      r => r.getTask(tenant, 'animals'),
      r => r.listTasks(tenant),
      r => r.describeTask(tenant, 'animals', 'new'),
      r => r.deleteTask(tenant, 'animals'),
      r => r.resolve(tenant, 'animals'),
      r => r.listVersions(tenant, 'animals'),
      r => r.publishVersion(tenant, 'animals', version())
    ]
  },
  {
    what: 'version 1 of task animals',
    key: key('task', 'animals', 'versions'),
    field: '1',
    calls: [
      r => r.getVersion(tenant, 'animals', 1),
      r => r.listVersions(tenant, 'animals'),
      r => r.resolve(tenant, 'animals'),
      r => r.publishVersion(tenant, 'animals', version({ job: jobs.animals }))
    ]
  },
  {
    what: 'alias production of task animals',
    key: key('task', 'animals', 'aliases'),
    field: 'production',
    calls: [
      r => r.getAlias(tenant, 'animals', 'production'),
      r => r.listAliases(tenant, 'animals'),
      r => r.aliasHistory(tenant, 'animals', 'production'),
      r => r.moveAlias(tenant, 'animals', 'production', 2, { by: 'a test' }),
      r => r.rollbackAlias(tenant, 'animals', 'production', 'a test'),
      r => r.resolve(tenant, 'animals'),
      r => r.publishVersion(tenant, 'animals', version())
    ]
  },
  { what: 'a move of alias production of task animals', key: key('task', 'animals', 'alias-moves'), field: 0, calls: [r => r.aliasHistory(tenant, 'animals', 'production')] },
  { what: `file ${file}`, key: key('files'), field: file, calls: [r => r.getFile(tenant, file), r => r.listFiles(tenant), r => r.removeFile(tenant, file)] },
  ...(['schema', 'data'] as const).map((field): NewerRecord => ({
    what: `job ${jobs.queued}`,
    key: key('job', jobs.queued),
    field,
    calls: [
      r => r.getJob(tenant, jobs.queued),
      r => r.listJobs(tenant),
      r => r.setJobState(tenant, jobs.queued, 'running'),
      r => r.cancelJob(tenant, jobs.queued)
    ]
  })),
  { what: `job ${jobs.queued}`, key: key('job', jobs.queued), field: 'schema', calls: [r => r.jobState(tenant, jobs.queued)] },
  { what: `error of job ${jobs.failed}`, key: key('job', jobs.failed), field: 'error', calls: [r => r.getJob(tenant, jobs.failed), r => r.listJobs(tenant)] },
  { what: 'an idempotent answer', key: key('idempotency', hexOf(digestOf(posts[0]!.key))), calls: [r => r.reserveIdempotency(tenant, posts[0]!.key, digestOf('a request'))] }
]

suite('of a newer schema', () => {
  let bed: Testbed
  before(async () => { bed = await openTestbed() })
  after(async () => await bed.close())

  /** Everything of the registry but the numbers that it has given out. */
  async function contents (): Promise<Map<string, string>> {
    const keys = (await bed.redis.keys('pf:*')).filter(name => !name.endsWith('version-counters')).sort()
    return new Map(await Promise.all(keys.map(async name => [name, (await bed.redis.dumpBuffer(name))!.toString('base64')] as const)))
  }

  async function rewrite ({ key: name, field }: NewerRecord, change: (value: string) => string): Promise<void> {
    const { redis } = bed
    if (field === undefined) await redis.set(name, change((await redis.get(name))!), 'KEEPTTL')
    else if (typeof field === 'number') await redis.lset(name, field, change((await redis.lindex(name, field))!))
    else await redis.hset(name, field, change((await redis.hget(name, field))!))
  }

  for (const record of RECORDS) {
    const { what, field, calls } = record
    test(`${what}${field === undefined ? '' : ` (${field})`}`, async () => {
      let original = ''
      await rewrite(record, value => {
        original = value
        return field === 'schema' ? '2' : ofSchema2(value)
      })
      try {
        const before = await contents()
        const objects = await bed.stores.objects.list('')
        for (const call of calls) await assert.rejects(call(bed.registry), refused(what), String(call))
        assert.deepEqual(await contents(), before)
        assert.deepEqual(await bed.stores.objects.list(''), objects)
      } finally {
        await rewrite(record, () => original)
      }
    })
  }

  test('a job keeps no process from bringing the others into the queue', async () => {
    await bed.redis.hset(key('job', jobs.queued), 'schema', '2')
    await bed.redis.lrem('{pf}:queue:training:active', 0, jobs.running)
    await bed.redis.lrem('{pf}:queue:training:wait', 0, jobs.queued)
    await bed.redis.del(`{pf}:queue:training:${jobs.running}`, `{pf}:queue:training:${jobs.queued}`)
    assert.deepEqual(await bed.registry.requeueLostJobs(), [jobs.running])
  })
})

suite('over HTTP', () => {
  test('the code and the name, and a stream of events goes on behind what it cannot read', async () => {
    const api = await openApi()
    const redis = new Redis(api.redis.url)
    try {
      await loadSnapshot(redis, api.stores.objects)
      const headers = { authorization: `Bearer ${secret}` }

      await redis.hset(key('tasks'), 'animals', ofSchema2((await redis.hget(key('tasks'), 'animals'))!))
      const response = await api.app.inject({ method: 'GET', url: '/v1/tasks/animals', headers })
      const { code, message } = response.json<{ error: { code: string, message: string } }>().error
      assert.deepEqual([response.statusCode, { code, message }], [500, refused('task animals')])

      const stream = key('job', jobs.animals, 'events')
      await redis.del(stream)
      const expected = []
      for (const [i, { id, event }] of storedEvents(jobs.animals).entries()) {
        const schema = i === 1 || event.type === 'state' && event.state === 'succeeded' ? 2 : 1
        const sent = i === 2 ? { type: 'of another version' } : event
        await redis.xadd(stream, id, 'event', JSON.stringify({ schema, ...sent }))
        expected.push({ id, event: schema === 1 ? sent : { type: 'error', ...refused(`event ${id}`) } })
      }
      const received = []
      for await (const { id, event, data } of receivedEvents<ReceivedJobEvent>(await fetch(`${await api.listen()}/v1/training-jobs/${jobs.animals}/events`, { headers }))) {
        assert.equal(event, data.type)
        received.push({ id, event: data })
      }
      assert.deepEqual(received, expected)
    } finally {
      redis.disconnect()
      await api.close()
    }
  })
})
