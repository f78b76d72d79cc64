import assert from 'node:assert/strict'
import { once } from 'node:events'
import { after, before, suite, test } from 'node:test'
import { digestOf } from '../../src/digest.js'
import { JobFinalError, type RegistryEvent } from '../../src/registry/registry.js'
import { job, openTestbed, refused, task, type Testbed, version } from './testbed.js'

suite('versions', () => {
  let bed: Testbed
  before(async () => { bed = await openTestbed() })
  after(async () => await bed.close())

  test('of two publishers get different numbers, and none is lost', async () => {
    await bed.registry.createTask('races', task('t'))
    const other = await bed.connect()
    const published = await Promise.all(Array.from({ length: 20 }, async (_, i) => await (i % 2 === 0 ? bed.registry : other).publishVersion('races', 't', version(`v${i}`))))
    assert.deepEqual(published.map(({ number }) => number).sort((a, b) => a - b), Array.from({ length: 20 }, (_, i) => i + 1))
    const listed = await bed.registry.listVersions('races', 't')
    assert.deepEqual(listed.map(({ digest }) => digest).sort(), Array.from({ length: 20 }, (_, i) => digestOf(`v${i}`)).sort())
    for (const record of published) assert.deepEqual(await other.getVersion('races', 't', record.number), record)
    // Each publication moved the alias once, from where the one before it had left it.
    const moves = (await bed.registry.aliasHistory('races', 't', 'production')).reverse()
    assert.deepEqual(moves.map(({ from }) => from), [null, ...moves.slice(0, -1).map(({ to }) => to)])
    assert.equal((await bed.registry.getAlias('races', 't', 'production')).version, moves.at(-1)?.to)
  })

  test('of one job are one, even when two attempts publish together', async () => {
    await bed.registry.createTask('once', task('t'))
    await bed.registry.createJob(job('once', 't', 'job_once'))
    const other = await bed.connect()
    const results = await Promise.all([bed.registry, other, bed.registry, other].map(async (registry, i) => await registry.publishVersion('once', 't', version(`attempt ${i}`, { job: 'job_once' }))))
    for (const result of results) assert.deepEqual(result, results[0])
    await bed.registry.setJobState('once', 'job_once', 'succeeded')
    assert.deepEqual(await other.publishVersion('once', 't', version('late', { job: 'job_once' })), results[0])
    assert.deepEqual(await bed.registry.listVersions('once', 't'), [results[0]])
    assert.equal((await bed.registry.getJob('once', 'job_once')).version, 1)
    const events = []
    for await (const { event } of bed.registry.jobEvents('once', 'job_once', '0', new AbortController().signal)) events.push(event)
    assert.deepEqual(events, [
      { type: 'state', state: 'queued' },
      { type: 'published', version: 1, digest: results[0]?.digest, alias: 'production' },
      { type: 'state', state: 'succeeded' }
    ])
    const stored = JSON.parse(Buffer.from(await bed.objects.get('versions/once/t/1.json') ?? []).toString('utf8')) as { version: unknown }
    assert.deepEqual(stored.version, results[0])
  })

  test('of a cancelled or failed job are refused and leave nothing behind', async () => {
    await bed.registry.createTask('fenced', task('t'))
    for (const state of ['cancelled', 'failed'] as const) {
      const id = `job_${state}`
      await bed.registry.createJob(job('fenced', 't', id))
      await bed.registry.setJobState('fenced', id, state)
      await assert.rejects(bed.registry.publishVersion('fenced', 't', version('x', { job: id })), JobFinalError)
    }
    assert.deepEqual(await bed.registry.listVersions('fenced', 't'), [])
    assert.deepEqual(await bed.objects.list('versions/fenced/'), [])
  })

  test('race with a cancellation: either the job is cancelled or its version is published, never both', async () => {
    await bed.registry.createTask('either', task('t'))
    const other = await bed.connect()
    for (let round = 0; round < 10; round++) {
      const id = `job_either${round}`
      await bed.registry.createJob(job('either', 't', id))
      const [publication, cancellation] = await Promise.allSettled([
        bed.registry.publishVersion('either', 't', version(id, { job: id })),
        other.cancelJob('either', id)
      ])
      assert.notEqual(publication.status, cancellation.status)
      assert.equal((await bed.registry.getJob('either', id)).state === 'cancelled', cancellation.status === 'fulfilled')
    }
  })

  test('are recorded in the store with all that an index needs', async () => {
    await bed.registry.createTask('stored', task('t'))
    const record = await bed.registry.publishVersion('stored', 't', version('x', { alias: 'staging', by: 'key_1' }))
    const stored: unknown = JSON.parse(Buffer.from(await bed.objects.get('versions/stored/t/1.json') ?? []).toString('utf8'))
    assert.deepEqual(stored, { schema: 1, tenant: 'stored', task: task('t'), version: record, alias: 'staging', by: 'key_1' })
  })

  test('without an alias move none', async () => {
    await bed.registry.createTask('bare', task('t'))
    await bed.registry.publishVersion('bare', 't', version('x', { alias: null }))
    assert.deepEqual(await bed.registry.listAliases('bare', 't'), [])
    assert.equal((await bed.registry.resolve('bare', 't@1')).version.number, 1)
  })

  test('are named by task, alias and number', async () => {
    await bed.registry.createTask('refs', task('t'))
    const first = await bed.registry.publishVersion('refs', 't', version('1'))
    const second = await bed.registry.publishVersion('refs', 't', version('2', { alias: 'staging' }))
    assert.deepEqual(await bed.registry.resolve('refs', 't'), { task: task('t'), version: first })
    assert.deepEqual(await bed.registry.resolve('refs', 't@production'), { task: task('t'), version: first })
    assert.deepEqual(await bed.registry.resolve('refs', 't@staging'), { task: task('t'), version: second })
    assert.deepEqual(await bed.registry.resolve('refs', 't@2'), { task: task('t'), version: second })
    await assert.rejects(bed.registry.resolve('refs', 'absent'), refused('task_not_found'))
    for (const reference of ['t@other', 't@', 't@07', 't@1.5', 't@-1', 't@production@1']) await assert.rejects(bed.registry.resolve('refs', reference), refused('alias_not_found'))
    for (const reference of ['t@3', 't@9999999999']) await assert.rejects(bed.registry.resolve('refs', reference), refused('version_not_found'))
    await assert.rejects(bed.registry.getVersion('refs', 't', 3), refused('version_not_found'))
    await assert.rejects(bed.registry.getVersion('refs', 't', 1.5), refused('version_not_found'))
  })

  test('are announced to every process after they can be resolved', async () => {
    await bed.registry.createTask('announced', task('t'))
    const other = await bed.connect()
    const heard = new EventTarget()
    const events: RegistryEvent[] = []
    const stop = other.onEvent(event => {
      if (event.type === 'replica' || event.tenant !== 'announced') return
      events.push(event)
      if (event.type === 'alias') heard.dispatchEvent(new Event('alias'))
    })
    const aliasHeard = once(heard, 'alias')
    const { number, digest } = await bed.registry.publishVersion('announced', 't', version('x'))
    await aliasHeard
    stop()
    assert.deepEqual(events, [
      { type: 'version', tenant: 'announced', task: 't', number, digest },
      { type: 'alias', tenant: 'announced', task: 't', alias: 'production', number }
    ])
    assert.equal((await other.resolve('announced', 't')).version.digest, digest)
  })

  test('cannot be published under an alias that reads like a number', async () => {
    await bed.registry.createTask('alias', task('t'))
    await assert.rejects(bed.registry.publishVersion('alias', 't', version('x', { alias: '7' })), { code: 'invalid_request', param: 'alias' })
  })
})
