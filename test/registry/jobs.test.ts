import assert from 'node:assert/strict'
import { after, before, beforeEach, suite, test } from 'node:test'
import { Queue, Worker } from 'bullmq'
import { Redis } from 'ioredis'
import type { RegistryEvent } from '../../src/registry/registry.js'
import { TRAINING_QUEUE } from '../../src/training/job.js'
import { QUEUE_PREFIX, WORKER_OPTIONS } from '../../src/training/queue.js'
import { job, openTestbed, refused, task, type Testbed, version } from './testbed.js'

suite('training jobs', () => {
  let bed: Testbed
  let queue: Queue
  let tenant: string
  let count = 0
  before(async () => {
    bed = await openTestbed()
    queue = new Queue(TRAINING_QUEUE, { connection: bed.redis, prefix: QUEUE_PREFIX })
  })
  after(async () => {
    await queue.close()
    await bed.close()
  })
  beforeEach(async () => {
    tenant = `tenant-${count++}`
    await bed.registry.createTask(tenant, task('t'))
  })

  /** Run the queue's jobs here until `stop`. */
  function startWorker (run: (id: string) => Promise<void>): { stop (): Promise<void>, finished (id: string): Promise<void> } {
    const connection = new Redis(bed.server.url, { maxRetriesPerRequest: null })
    const worker = new Worker(TRAINING_QUEUE, async ({ id }) => await run(id ?? ''), { ...WORKER_OPTIONS, connection })
    return {
      async stop () {
        await worker.close()
        connection.disconnect()
      },
      finished: async id => await new Promise(resolve => {
        worker.on('completed', done => { if (done.id === id) resolve() })
        worker.on('failed', done => { if (done?.id === id) resolve() })
      })
    }
  }

  test('are recorded and queued under the same id, with everything a worker needs', async () => {
    const data = job(tenant, 't', 'job_new')
    const record = await bed.registry.createJob(data)
    assert.deepEqual(record, { id: 'job_new', state: 'queued', data, method: data.method, recipe: data.recipe, createdAt: record.createdAt, finishedAt: null, version: null, error: null })
    assert.deepEqual(await bed.registry.getJob(tenant, 'job_new'), record)
    assert.deepEqual((await queue.getJob('job_new'))?.data, data)
    await bed.registry.cancelJob(tenant, 'job_new')
  })

  test('with the same id are one job', async () => {
    const [a, b] = await Promise.all([bed.registry.createJob(job(tenant, 't', 'job_same')), bed.registry.createJob(job(tenant, 't', 'job_same'))])
    assert.deepEqual(a, b)
    assert.equal((await bed.registry.listJobs(tenant)).length, 1)
    await bed.registry.cancelJob(tenant, 'job_same')
  })

  test('are listed newest first, to their tenant only', async () => {
    const ids = ['job_l1', 'job_l2', 'job_l3']
    for (const id of ids) await bed.registry.createJob(job(tenant, 't', id))
    assert.deepEqual((await bed.registry.listJobs(tenant)).map(({ id }) => id), ids.toReversed())
    assert.deepEqual(await bed.registry.listJobs('stranger'), [])
    for (const attempt of [
      () => bed.registry.getJob('stranger', 'job_l1'),
      () => bed.registry.jobState('stranger', 'job_l1'),
      () => bed.registry.cancelJob('stranger', 'job_l1'),
      () => bed.registry.setJobState('stranger', 'job_l1', 'failed'),
      () => bed.registry.appendJobEvent('stranger', 'job_l1', { type: 'checkpoint', step: 1 })
    ]) await assert.rejects(attempt, refused('job_not_found'))
    for (const id of ids) await bed.registry.cancelJob(tenant, id)
  })

  test('are counted while no worker has taken them', async () => {
    const before = await bed.registry.countWaitingJobs()
    await bed.registry.createJob(job(tenant, 't', 'job_one'))
    await bed.registry.createJob(job(tenant, 't', 'job_two'))
    assert.equal(await bed.registry.countWaitingJobs(), before + 2)
    await bed.registry.cancelJob(tenant, 'job_one')
    assert.equal(await bed.registry.countWaitingJobs(), before + 1)
    await bed.registry.cancelJob(tenant, 'job_two')
  })

  test('that wait leave the queue when they are cancelled, once', async () => {
    await bed.registry.createJob(job(tenant, 't', 'job_wait'))
    const cancelled = await bed.registry.cancelJob(tenant, 'job_wait')
    assert.equal(cancelled.state, 'cancelled')
    assert.notEqual(cancelled.finishedAt, null)
    assert.equal(await queue.getJobState('job_wait'), 'unknown')
    await assert.rejects(bed.registry.cancelJob(tenant, 'job_wait'), refused('job_not_cancellable'))
    await assert.rejects(bed.registry.cancelJob(tenant, 'job_absent'), refused('job_not_found'))
  })

  test('are cancelled once, however many ask together', async () => {
    await bed.registry.createJob(job(tenant, 't', 'job_twice'))
    const results = await Promise.allSettled(Array.from({ length: 4 }, async () => await bed.registry.cancelJob(tenant, 'job_twice')))
    assert.equal(results.filter(({ status }) => status === 'fulfilled').length, 1)
  })

  test('that run hear of their cancellation and stop', async () => {
    const workerSide = await bed.connect('wait')
    const worker = startWorker(async id => {
      assert.ok(await workerSide.setJobState(tenant, id, 'running'))
      const heard = new Promise<RegistryEvent>(resolve => workerSide.onEvent(event => {
        if (event.type === 'job' && event.id === id && event.state === 'cancelled') resolve(event)
      }))
      await bed.registry.cancelJob(tenant, id)
      assert.deepEqual(await heard, { type: 'job', tenant, id, state: 'cancelled' })
      assert.equal(await workerSide.jobState(tenant, id), 'cancelled')
      assert.equal(await workerSide.setJobState(tenant, id, 'succeeded'), false)
      await workerSide.appendJobEvent(tenant, id, { type: 'checkpoint', step: 9 })
    })
    const finished = worker.finished('job_run')
    await bed.registry.createJob(job(tenant, 't', 'job_run'))
    await finished
    await worker.stop()
    assert.equal(await queue.getJobState('job_run'), 'completed')
    const events = []
    for await (const { event } of bed.registry.jobEvents(tenant, 'job_run', '0', new AbortController().signal)) events.push(event)
    assert.deepEqual(events, [{ type: 'state', state: 'queued' }, { type: 'state', state: 'running' }, { type: 'state', state: 'cancelled' }])
  })

  test('keep their final state, error and version', async () => {
    await bed.registry.createJob(job(tenant, 't', 'job_fail'))
    assert.equal(await bed.registry.setJobState(tenant, 'job_fail', 'failed', { error: { code: 'not_finite', message: 'loss' }, reason: 'diverged' }), true)
    assert.equal(await bed.registry.setJobState(tenant, 'job_fail', 'running'), false)
    const record = await bed.registry.getJob(tenant, 'job_fail')
    assert.deepEqual({ state: record.state, error: record.error }, { state: 'failed', error: { code: 'not_finite', message: 'loss' } })
    await queue.remove('job_fail')

    await bed.registry.createJob(job(tenant, 't', 'job_done'))
    await bed.registry.publishVersion(tenant, 't', version('x', { job: 'job_done' }))
    await assert.rejects(bed.registry.cancelJob(tenant, 'job_done'), refused('job_not_cancellable'))
    assert.equal(await bed.registry.setJobState(tenant, 'job_done', 'succeeded'), true)
    assert.equal((await bed.registry.getJob(tenant, 'job_done')).version, 1)
    await queue.remove('job_done')
  })

  test('need a task', async () => {
    await assert.rejects(bed.registry.createJob(job(tenant, 'absent', 'job_none')), refused('task_not_found'))
    await assert.rejects(bed.registry.getJob(tenant, 'job_none'), refused('job_not_found'))
  })

  suite('requeueLostJobs()', () => {
    test('queues again what a crash kept from the queue, and nothing else', async () => {
      await bed.registry.createJob(job(tenant, 't', 'job_lost'))
      await bed.registry.createJob(job(tenant, 't', 'job_kept'))
      await queue.remove('job_lost')
      const other = await bed.connect()
      const [a, b] = await Promise.all([bed.registry.requeueLostJobs(), other.requeueLostJobs()])
      assert.deepEqual([...new Set([...a, ...b])], ['job_lost'])
      assert.equal(await queue.getJobState('job_lost'), 'waiting')
      assert.deepEqual((await queue.getWaiting()).map(({ id }) => id).sort(), ['job_kept', 'job_lost'])
      assert.deepEqual(await bed.registry.requeueLostJobs(), [])
      for (const id of ['job_lost', 'job_kept']) await bed.registry.cancelJob(tenant, id)
      assert.deepEqual(await bed.registry.requeueLostJobs(), [])
    })

    test('records as failed what the queue gave up on', async () => {
      const { data } = await bed.registry.createJob(job(tenant, 't', 'job_broken'))
      // One attempt only, so that the test need not wait for the others.
      await queue.remove('job_broken')
      await queue.add('train', data, { jobId: 'job_broken' })
      const worker = startWorker(async () => { throw new Error('the worker broke') })
      await worker.finished('job_broken')
      await worker.stop()
      assert.equal(await queue.getJobState('job_broken'), 'failed')
      assert.deepEqual(await bed.registry.requeueLostJobs(), [])
      const record = await bed.registry.getJob(tenant, 'job_broken')
      assert.deepEqual({ state: record.state, error: record.error }, { state: 'failed', error: { code: 'internal', message: 'the worker broke' } })
    })

    test('queues again what left the queue without a final state', async () => {
      const worker = startWorker(async () => {})
      const finished = worker.finished('job_silent')
      await bed.registry.createJob(job(tenant, 't', 'job_silent'))
      await finished
      await worker.stop()
      assert.deepEqual(await bed.registry.requeueLostJobs(), ['job_silent'])
      assert.equal(await queue.getJobState('job_silent'), 'waiting')
      await bed.registry.cancelJob(tenant, 'job_silent')
    })
  })
})
