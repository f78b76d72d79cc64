/** Each process dies by SIGKILL while it has something to do: what clients see meanwhile, and that nothing is lost. */
import assert from 'node:assert/strict'
import { after, before, suite, test } from 'node:test'
import { errorOf, type File, type InferEvent, type Job, type NewKey, type Readiness, type Task, type Version } from '../api/answers.js'
import { receivedEvents } from '../api/server-sent-events.js'
import { isCheckpoint, rowsOfTwoLabels, Testbed, until } from './testbed.js'

/** Long enough to be killed in the middle, with a checkpoint behind each evaluation. */
const LONG = { max_steps: 600, evaluations: 30, learning_rate: 0.01 }
const METHOD = { type: 'prefix-tuning', num_virtual_tokens: 4 }

suite('what dies comes back', { timeout: 900_000 }, () => {
  let service: Testbed
  let base: string
  before(async () => {
    service = await Testbed.open()
    base = (await service.base()).name
    await service.post('/v1/tasks', { name: 'things', kind: 'classification', labels: ['basket', 'frog'] })
    await service.events(await service.train('things', { rows: rowsOfTwoLabels(), recipe: { max_steps: 20, learning_rate: 0.03 }, method: METHOD }))
  })
  after(async () => await service.close())

  async function versionsOf (job: string): Promise<number[]> {
    const versions = await service.list<Version>('/v1/tasks/things/versions')
    return versions.filter(version => version.job === job).map(({ version }) => version)
  }

  /** A stream that has begun; `rest` reads it to its end. */
  async function begunStream (): Promise<{ rest: Promise<InferEvent[]> }> {
    const response = await service.fetch('POST', `/v1/tasks/${base}/infer`, { input: 'the basket', max_tokens: 4000, stream: true })
    assert.equal(response.status, 200)
    const events = receivedEvents<InferEvent>(response)
    assert.equal((await events.next()).value?.event, 'start')
    return {
      rest: (async () => {
        const rest: InferEvent[] = []
        for await (const event of events) rest.push(event)
        return rest
      })()
    }
  }

  test('a worker killed in mid-training: another takes the job up behind its checkpoint, and it makes one version', async () => {
    const job = await service.train('things', { rows: rowsOfTwoLabels(), recipe: LONG, method: METHOD })
    await service.events(job, isCheckpoint)
    const killed = service.pidOf('worker')
    const back = service.service.line(/^worker is back/)
    process.kill(killed, 'SIGKILL')
    await back
    assert.notEqual(service.pidOf('worker'), killed)
    const events = (await service.events(job)).map(({ event }) => event)
    assert.deepEqual(events.filter(event => event.type === 'state').map(event => event.state), ['queued', 'running', 'running', 'succeeded'])
    assert.equal(events.filter(event => event.type === 'published').length, 1)
    assert.equal(events.filter(event => event.type === 'evaluation' && event.step === 20).length, 1) // the first checkpoint's steps were not made again
    assert.deepEqual(await versionsOf(job), [2])
    assert.equal((await service.infer('things', 'the basket')).version, 2)
  })

  test('inference killed while requests stream: each is told, 503 until it is back, and the api lives on', async () => {
    const api = service.pidOf('api')
    const streams = await Promise.all([begunStream(), begunStream(), begunStream()])
    await service.outageOf('inference', async () => {
      for (const { rest } of streams) {
        const last = (await rest).at(-1)!
        assert.equal(last.event === 'error' && last.data.error.code, 'inference_unavailable')
      }
      for (const request of [{ input: 'the basket' }, { inputs: ['the basket', 'a frog'] }]) {
        const answer = await service.ask('POST', '/v1/tasks/things/infer', request)
        assert.deepEqual([answer.status, errorOf(answer).code], [503, 'inference_unavailable'])
        assert.ok(Number(answer.headers.get('retry-after')) >= 1)
      }
      const streamed = await service.ask('POST', `/v1/tasks/${base}/infer`, { input: 'the basket', stream: true })
      assert.deepEqual([streamed.status, errorOf(streamed).code], [503, 'inference_unavailable'])
      const readiness = await service.ask<Readiness>('GET', '/readyz')
      assert.deepEqual([readiness.status, readiness.body.checks.inference, readiness.body.checks.redis], [503, 'inference_unavailable', 'ok'])
      assert.equal((await service.ask('GET', '/v1/tasks/things')).status, 200)
    })
    assert.equal((await service.infer('things', 'the basket')).version, 2)
    assert.equal((await service.ask('GET', '/readyz')).status, 200)
    assert.equal(service.pidOf('api'), api)
  })

  test('Redis killed: 503 meanwhile, everything acknowledged is there afterwards, and the running job ends in one version', async () => {
    const job = await service.train('things', { rows: rowsOfTwoLabels(), recipe: LONG, method: METHOD, publish: { alias: 'after-outage' } })
    await service.events(job, isCheckpoint)
    const pids = (['api', 'inference', 'worker'] as const).map(verb => service.pidOf(verb))
    // Acknowledged up to the last moment before the kill.
    const tasks = Array.from({ length: 20 }, (_, i) => `task-${i}`)
    const [{ secret: key }, file] = await Promise.all([service.post<NewKey>('/v1/keys', { name: 'before', scopes: ['infer', 'train'] }), service.upload(rowsOfTwoLabels())])
    for (const name of tasks) await service.post('/v1/tasks', { name, kind: 'generation' })
    const alias = await service.ask('PUT', '/v1/tasks/things/aliases/kept', { version: 1 })
    assert.equal(alias.status, 200)

    assert.equal((await service.get<Job>(`/v1/training-jobs/${job}`)).state, 'running')
    await service.outageOf('redis', async () => {
      for (const [method, path, body] of [['GET', '/v1/tasks/things'], ['POST', '/v1/tasks', { name: 'late', kind: 'generation' }], ['POST', '/v1/tasks/things/infer', { input: 'the basket' }]] as const) {
        const answer = await service.ask(method, path, body)
        assert.deepEqual([path, answer.status, errorOf(answer).code], [path, 503, 'registry_unavailable'])
        assert.ok(Number(answer.headers.get('retry-after')) >= 1)
      }
      assert.equal((await service.ask('GET', '/healthz')).status, 200)
      assert.equal((await service.ask<Readiness>('GET', '/readyz')).body.checks.redis, 'registry_unavailable')
    })
    await until('the api reads the registry again', async () => (await service.ask('GET', '/v1/tasks/things')).status === 200)

    const names = (await service.list<Task>('/v1/tasks', { key })).map(({ name }) => name)
    assert.deepEqual(names.sort(), [...tasks, 'things'].sort()) // and `late`, which was refused, is not
    assert.equal((await service.get<File>(`/v1/files/${file}`)).rows, 60)
    assert.equal((await service.infer('things@kept', 'the basket', {})).version, 1)

    const events = (await service.events(job)).map(({ event }) => event)
    assert.deepEqual(events.at(-1), { type: 'state', state: 'succeeded' })
    const versions = await versionsOf(job)
    assert.equal(versions.length, 1)
    assert.equal((await service.infer('things@after-outage', 'the basket')).version, versions[0])
    assert.deepEqual((['api', 'inference', 'worker'] as const).map(verb => service.pidOf(verb)), pids)
  })

  test('the api killed: it comes back at the same address and knows every key', async () => {
    const killed = service.pidOf('api')
    await service.outageOf('api', async () => { await assert.rejects(service.ask('GET', '/healthz')) })
    assert.notEqual(service.pidOf('api'), killed)
    assert.equal((await service.infer('things@1', 'the basket')).version, 1)
  })

  test('the supervisor killed in mid-training: its processes end by themselves, the next start has everything and ends the job', async () => {
    const job = await service.train('things', { rows: rowsOfTwoLabels(), recipe: LONG, method: METHOD, publish: { alias: 'after-restart' } })
    await service.events(job, isCheckpoint)
    await service.service.kill9()
    await until('no process is left', () => service.processes().length === 0)
    await service.startAgain()
    assert.equal((await service.infer('things@1', 'the basket')).version, 1)
    const events = (await service.events(job)).map(({ event }) => event)
    assert.deepEqual(events.at(-1), { type: 'state', state: 'succeeded' })
    assert.equal(events.filter(event => event.type === 'evaluation' && event.step === 20).length, 1)
    assert.equal((await versionsOf(job)).length, 1)
    assert.equal((await service.infer('things@after-restart', 'the basket')).version, (await versionsOf(job))[0])
  })
})
