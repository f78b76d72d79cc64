/** What version 1 stored, as today's registry and api tell it. */
import assert from 'node:assert/strict'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, suite, test } from 'node:test'
import { Redis } from 'ioredis'
import { digestOf } from '../../src/digest.js'
import { BASE_FILES, openBase } from '../../src/model/base.js'
import { readBaseIndex } from '../../src/model/base-index.js'
import { readManifest } from '../../src/prompt/artifact-files.js'
import type { RedisRegistry } from '../../src/registry/redis-registry.js'
import type { VersionRecord } from '../../src/registry/registry.js'
import { uploadKey, versionKey } from '../../src/registry/store/object-keys.js'
import { openTestbed, type Testbed } from '../api/testbed.js'
import { receivedEvents } from '../api/server-sent-events.js'
import { facts, importSnapshotBase, loadSnapshot, readSnapshot, redisCommands, storedEvents, withoutSchema } from './snapshot.js'

const { tenant, jobs, posts, secret } = facts

/** The records of a hash by field, as their JSON has them, without the schema. */
function recordsOf (key: string): Map<string, object> {
  return new Map(redisCommands.filter(command => command[0] === 'HSET' && command[1] === key).map(([, , field, json]) => [field!, withoutSchema<object>(json!)]))
}

/** What was answered to the POST that made the thing. */
function made (url: string, fits: (answer: Record<string, unknown>) => boolean): Record<string, unknown> {
  const answer = posts.filter(post => post.url.startsWith(url)).map(post => post.answer as Record<string, unknown>).find(fits)
  assert.ok(answer !== undefined)
  return answer
}

suite('what version 1 stored', () => {
  let bed: Testbed
  let registry: RedisRegistry
  before(async () => {
    bed = await openTestbed()
    registry = bed.registry
    const redis = new Redis(bed.redis.url)
    await loadSnapshot(redis, bed.stores.objects)
    redis.disconnect()
  })
  after(async () => await bed.close())

  async function request (method: 'GET' | 'POST', url: string, body?: unknown, headers: Record<string, string> = {}): Promise<{ status: number, answer: unknown }> {
    const type = body === undefined ? {} : { 'content-type': typeof body === 'string' ? 'application/jsonl' : 'application/json' }
    const response = await bed.app.inject({ method, url, headers: { authorization: `Bearer ${secret}`, ...type, ...headers }, ...body === undefined ? {} : { payload: body as string | object } })
    return { status: response.statusCode, answer: response.json() }
  }
  async function data (url: string): Promise<Array<Record<string, unknown>>> {
    return ((await request('GET', url)).answer as { data: Array<Record<string, unknown>> }).data
  }

  test('the key opens the api, and is listed', async () => {
    const key = await registry.findKey(secret)
    assert.deepEqual(await registry.listKeys(tenant), [key])
    assert.deepEqual((await data('/v1/keys')).map(({ id }) => id), [key?.id])
  })

  test('tasks', async () => {
    const stored = recordsOf(`pf:t:{${tenant}}:tasks`)
    assert.deepEqual(await registry.listTasks(tenant), [stored.get('animals'), stored.get('sentences')])
    assert.deepEqual(await data('/v1/tasks'), [made('/v1/tasks', ({ name }) => name === 'animals'), made('/v1/tasks', ({ name }) => name === 'sentences')])
  })

  test('versions, in the index and in the store', async () => {
    for (const [task, count] of [['animals', 2], ['sentences', 1]] as const) {
      const stored = recordsOf(`pf:t:{${tenant}}:task:${task}:versions`)
      assert.deepEqual(await registry.listVersions(tenant, task), [...stored.values()])
      assert.equal(stored.size, count)
      for (const [number, record] of stored) {
        const publication = JSON.parse(Buffer.from((await bed.stores.objects.get(versionKey(tenant, task, Number(number))))!).toString()) as { schema: number, version: VersionRecord }
        assert.deepEqual([publication.schema, publication.version], [1, record])
      }
    }
    assert.deepEqual((await data('/v1/tasks/animals/versions')).map(({ version, job }) => [version, job]), [[1, jobs.animals], [2, jobs.staging]])
  })

  test('artifacts, whole and for their base', async () => {
    for (const { prompt, version: number, digest } of facts.inferences) {
      const { task, version } = await registry.resolve(tenant, prompt)
      assert.deepEqual([version.number, version.digest], [number, digest])
      const manifest = readManifest(await bed.stores.artifacts.get(digest))
      assert.deepEqual([manifest.base, manifest.job, manifest.task], [facts.base, version.job, task.spec])
      assert.equal(await bed.stores.artifacts.put(await bed.stores.artifacts.get(digest)), digest)
    }
  })

  test('aliases and their history', async () => {
    assert.deepEqual((await registry.listAliases(tenant, 'animals')).map(({ name, version }) => [name, version]), [['production', 1], ['staging', 2]])
    assert.deepEqual((await registry.aliasHistory(tenant, 'animals', 'production')).map(({ from, to }) => [from, to]), [[2, 1], [1, 2], [null, 1]])
    const { answer } = await request('GET', '/v1/tasks/animals/aliases/production')
    assert.equal((answer as { version: number }).version, 1)
  })

  test('files, byte for byte', async () => {
    const stored = recordsOf(`pf:t:{${tenant}}:files`)
    assert.equal(stored.size, 3)
    for (const file of await registry.listFiles(tenant)) {
      assert.deepEqual(file, stored.get(file.id))
      assert.equal(digestOf((await bed.stores.objects.get(uploadKey(tenant, file.id)))!), file.digest)
    }
    assert.deepEqual(await data('/v1/files'), posts.filter(({ url }) => url.startsWith('/v1/files')).map(({ answer }) => answer))
  })

  test('jobs of every state', async () => {
    const states = { animals: 'succeeded', staging: 'succeeded', sentences: 'succeeded', failed: 'failed', running: 'running', queued: 'queued', cancelled: 'cancelled' }
    const listed = await data('/v1/training-jobs')
    assert.deepEqual(listed.map(({ id }) => id).sort(), Object.values(jobs).sort())
    for (const [name, state] of Object.entries(states)) {
      const id = jobs[name as keyof typeof jobs]
      const { version, error, finishedAt } = await registry.getJob(tenant, id)
      // But for what became of it, it is what the api answered to its POST.
      assert.deepEqual(listed.find(job => job['id'] === id), { ...made('/v1/training-jobs', job => job['id'] === id), state, version, error, finished_at: finishedAt })
      assert.equal(version !== null, state === 'succeeded')
      assert.equal(error?.code, state === 'failed' ? 'one_label' : undefined)
      assert.equal(finishedAt === null, state === 'running' || state === 'queued')
    }
  })

  test('events of a job', async () => {
    const url = await bed.listen()
    for (const job of [jobs.animals, jobs.failed, jobs.cancelled]) {
      const stored = storedEvents(job)
      const events = []
      for await (const event of registry.jobEvents(tenant, job, '0', new AbortController().signal)) events.push(event)
      assert.deepEqual(events, stored)
      const streamed = []
      for await (const { id, data: event } of receivedEvents(await fetch(`${url}/v1/training-jobs/${job}/events`, { headers: { authorization: `Bearer ${secret}` } }))) streamed.push({ id, event })
      assert.deepEqual(streamed, stored)
    }
  })

  test('answers to repeated requests', async () => {
    for (const { url, body, key, status, answer } of posts) {
      assert.deepEqual(await request('POST', url, body, { 'idempotency-key': key }), { status, answer })
    }
    assert.equal((await request('POST', '/v1/tasks', { name: 'another', kind: 'generation' }, { 'idempotency-key': posts[0]!.key })).status, 409)
    assert.equal((await registry.listJobs(tenant)).length, Object.keys(jobs).length)
  })

  test('the queue: nothing is lost, nothing is queued twice', async () => {
    assert.deepEqual(await registry.requeueLostJobs(), [])
  })
})

suite('a base of version 1', () => {
  let home: string
  before(async () => { home = await mkdtemp(join(tmpdir(), 'permafrost-version-1-')) })
  after(async () => await rm(home, { recursive: true, force: true }))

  test('opens with its manifest of then, and is the one that the tests make today', async () => {
    await writeFile(join(home, BASE_FILES.manifest), readSnapshot('base/manifest.json'))
    const { serving: _then, source: { file: _file, ...source }, ...stored } = (await openBase(home)).manifest
    const { serving: _now, source: { file: _source, ...sourceNow }, ...made } = (await importSnapshotBase(home)).manifest
    assert.deepEqual([stored, source], [made, sourceNow])
  })

  test('is imported anew, to the same digest: its folder lacks a graph that is made today', async () => {
    const homeOfThen = join(home, 'of-then')
    const bases = join(homeOfThen, 'bases')
    await mkdir(bases, { recursive: true })
    await writeFile(join(bases, 'index.json'), readSnapshot('base/index.json'))
    assert.deepEqual(await readBaseIndex(bases), [])
    await importSnapshotBase(homeOfThen)
    assert.deepEqual((await readBaseIndex(bases)).map(({ base }) => base), [facts.base])
  })
})
