import assert from 'node:assert/strict'
import { after, before, suite, test } from 'node:test'
import { jobKey, tasksKey } from '../../src/registry/redis-keys.js'
import { job, openTestbed, refused, task, type Testbed, version } from './testbed.js'

suite('tasks', () => {
  let bed: Testbed
  before(async () => { bed = await openTestbed() })
  after(async () => await bed.close())

  test('come back as they were made, in the order of their names', async () => {
    await bed.registry.createTask('reads', task('b'))
    await bed.registry.createTask('reads', task('a'))
    assert.deepEqual(await bed.registry.getTask('reads', 'a'), task('a'))
    assert.deepEqual(await bed.registry.listTasks('reads'), [task('a'), task('b')])
  })

  test('with an output are stored so that an older version refuses them, all others as ever', async () => {
    const constrained = { ...task('constrained'), spec: { ...task('constrained').spec, output: { choices: ['yes', 'no'] } } }
    await bed.registry.createTask('outputs', constrained)
    await bed.registry.createTask('outputs', task('free'))
    assert.deepEqual(await bed.registry.describeTask('outputs', 'constrained', 'new'), { ...constrained, description: 'new' })
    assert.deepEqual((await bed.registry.resolve('outputs', `constrained@${(await bed.registry.publishVersion('outputs', 'constrained', version('v'))).number}`)).task.spec, constrained.spec)
    const schemaOf = async (name: string): Promise<unknown> => (JSON.parse((await bed.redis.hget(tasksKey('outputs'), name))!) as { schema: unknown }).schema
    assert.deepEqual([await schemaOf('constrained'), await schemaOf('free')], [2, 1])
    const [publication] = await bed.objects.list('versions/outputs/')
    assert.equal((JSON.parse(Buffer.from((await bed.objects.get(publication!))!).toString()) as { schema: unknown }).schema, 2)

    const created = await bed.registry.createJob({ ...job('outputs', 'constrained', 'job_o1'), spec: constrained.spec, schema: 2 })
    assert.deepEqual([created.data.schema, created.data.spec], [2, constrained.spec])
    assert.match((await bed.redis.hget(jobKey('outputs', 'job_o1'), 'data'))!, /"schema":2/)
  })

  test('exist once, however many make them together', async () => {
    const results = await Promise.allSettled(Array.from({ length: 8 }, async () => await bed.registry.createTask('races', task('same'))))
    assert.equal(results.filter(result => result.status === 'fulfilled').length, 1)
    await assert.rejects(bed.registry.createTask('races', task('same')), refused('task_exists'))
  })

  test('change nothing but their description', async () => {
    await bed.registry.createTask('describes', task('t'))
    assert.deepEqual(await bed.registry.describeTask('describes', 't', 'new'), { ...task('t'), description: 'new' })
    assert.deepEqual(await bed.registry.getTask('describes', 't'), { ...task('t'), description: 'new' })
    await assert.rejects(bed.registry.describeTask('describes', 'absent', 'new'), refused('task_not_found'))
  })

  test('cannot have a name that would reach into other keys', async () => {
    for (const name of ['', 'a:versions', 'a@b', '../a', 'a/b', '.a']) await assert.rejects(bed.registry.createTask('names', task(name)), { code: 'invalid_request', param: 'name' })
    await assert.rejects(bed.registry.getTask('names', 'a:versions'), refused('task_not_found'))
  })

  test('cannot be deleted while a job of theirs is unfinished', async () => {
    await bed.registry.createTask('deletes', task('t'))
    await bed.registry.createJob(job('deletes', 't', 'job_d1'))
    await assert.rejects(bed.registry.deleteTask('deletes', 't'), refused('task_in_use'))
    await bed.registry.cancelJob('deletes', 'job_d1')
    await bed.registry.deleteTask('deletes', 't')
    await assert.rejects(bed.registry.getTask('deletes', 't'), refused('task_not_found'))
    await assert.rejects(bed.registry.deleteTask('deletes', 't'), refused('task_not_found'))
  })

  test('made again under an old name go on with the version numbers and know nothing of the old versions', async () => {
    await bed.registry.createTask('again', task('t'))
    await bed.registry.publishVersion('again', 't', version('old'))
    await bed.registry.deleteTask('again', 't')
    assert.deepEqual(await bed.objects.list('versions/again/'), [])
    await bed.registry.createTask('again', task('t'))
    assert.deepEqual(await bed.registry.listVersions('again', 't'), [])
    await assert.rejects(bed.registry.resolve('again', 't'), refused('alias_not_found'))
    assert.equal((await bed.registry.publishVersion('again', 't', version('new'))).number, 2)
  })

  test('of another tenant do not exist', async () => {
    await bed.registry.createTask('owner', task('t'))
    await bed.registry.publishVersion('owner', 't', version('a'))
    const stranger = 'stranger'
    assert.deepEqual(await bed.registry.listTasks(stranger), [])
    for (const attempt of [
      () => bed.registry.getTask(stranger, 't'),
      () => bed.registry.describeTask(stranger, 't', 'mine'),
      () => bed.registry.deleteTask(stranger, 't'),
      () => bed.registry.getVersion(stranger, 't', 1),
      () => bed.registry.listVersions(stranger, 't'),
      () => bed.registry.listAliases(stranger, 't'),
      () => bed.registry.getAlias(stranger, 't', 'production'),
      () => bed.registry.aliasHistory(stranger, 't', 'production'),
      () => bed.registry.moveAlias(stranger, 't', 'production', 1, { by: 'x' }),
      () => bed.registry.rollbackAlias(stranger, 't', 'production', 'x'),
      () => bed.registry.resolve(stranger, 't@1'),
      () => bed.registry.publishVersion(stranger, 't', version('b')),
      () => bed.registry.createJob(job(stranger, 't', 'job_s1'))
    ]) await assert.rejects(attempt, refused('task_not_found'))
  })
})
