/** A worker leaves what a version of schema 2 has stored of a job to a newer worker, and takes the other jobs. */
import assert from 'node:assert/strict'
import { after, before, suite, test } from 'node:test'
import { Queue, QueueEvents } from 'bullmq'
import { checkpointPrefix } from '../../src/registry/store/object-keys.js'
import { TRAINING_QUEUE, type TrainingJobData } from '../../src/training/job.js'
import { QUEUE_PREFIX } from '../../src/training/queue.js'
import { facts, storedEvents } from './snapshot.js'
import { ofSchema2, openTestbed, refused, type Testbed, type WorkerProcess } from './testbed.js'

const { tenant, jobs } = facts
const key = (...parts: string[]): string => `pf:t:{${tenant}}:${parts.join(':')}`
const queueKey = (job: string): string => `${QUEUE_PREFIX}:${TRAINING_QUEUE}:${job}`
const toSchema1 = (json: string): string => json.replace('"schema":2', '"schema":1')
/** As it stands in the header of a checkpoint. */
const inBytes = (schema: number): string => `{\\"schema\\":${schema}`

suite('of a newer schema', { timeout: 60_000 }, () => {
  let bed: Testbed
  let queue: Queue<TrainingJobData>
  let delays: QueueEvents
  let worker: WorkerProcess
  const delayed = new Set<string>()
  before(async () => {
    bed = await openTestbed()
    queue = new Queue(TRAINING_QUEUE, { connection: bed.redis, prefix: QUEUE_PREFIX })
    delays = new QueueEvents(TRAINING_QUEUE, { connection: { url: bed.redisUrl, maxRetriesPerRequest: null }, prefix: QUEUE_PREFIX })
    await delays.waitUntilReady()
    delays.on('delayed', ({ jobId }) => { delayed.add(jobId) })
  })
  after(async () => {
    await delays.close()
    await queue.close()
    await bed.close()
  })

  async function rewrite (hash: string, field: string, change: (value: string) => string): Promise<void> {
    await bed.redis.hset(hash, field, change((await bed.redis.hget(hash, field))!))
  }

  /** Resolves when the worker has put the job aside because of `what`. */
  async function putAside (job: string, what: string): Promise<void> {
    const { reason } = await worker.line(line => line.job === job && line.msg === 'job is left for a newer worker')
    assert.equal(reason, refused(what).message)
    while (!delayed.has(job)) await new Promise(resolve => delays.once('delayed', resolve))
    const { attemptsMade, failedReason } = (await queue.getJob(job))!
    assert.deepEqual([attemptsMade, failedReason], [0, undefined])
  }

  async function createJob (like: string, job: string): Promise<string> {
    const { data } = await bed.registry.getJob(tenant, like)
    await bed.registry.createJob({ ...data, job, recipe: { ...data.recipe, max_steps: 10, evaluations: 1 } })
    return job
  }

  test('data, record or checkpoint: the job waits, as it was, until it can be read', async () => {
    const { redis, registry, stores: { objects } } = bed
    const byRecord = await createJob(jobs.queued, 'job_record')
    const readable = await createJob(jobs.queued, 'job_readable')
    await redis.hset(key('job', byRecord), 'schema', '2')
    for (const hash of [key('job', jobs.queued), queueKey(jobs.queued)]) await rewrite(hash, 'data', ofSchema2)
    await redis.hset(key('job', jobs.queued), 'schema', '2')
    const ofQueued = `${checkpointPrefix(tenant, jobs.queued)}state`
    await objects.put(ofQueued, Buffer.from('of another version'))
    const [checkpoint] = await objects.list(checkpointPrefix(tenant, jobs.running))
    const bytes = Buffer.from((await objects.get(checkpoint!))!)
    bytes.write(inBytes(2), bytes.indexOf(inBytes(1)))
    await objects.put(checkpoint!, bytes)
    const records = async (): Promise<unknown> => await Promise.all([byRecord, jobs.queued].flatMap(job => [redis.hgetall(key('job', job)), redis.xlen(key('job', job, 'events'))]))
    const untouched = await records()

    worker = bed.startWorker()
    await putAside(byRecord, `job ${byRecord}`)
    await putAside(jobs.queued, `job ${jobs.queued}`)
    await putAside(jobs.running, `the checkpoint of job ${jobs.running}`)
    await bed.events(readable)
    assert.equal(await registry.jobState(tenant, readable), 'succeeded')
    assert.deepEqual(await records(), untouched)
    assert.equal(await registry.jobState(tenant, jobs.running), 'queued')
    assert.deepEqual([(await objects.get(ofQueued))?.length, Buffer.from((await objects.get(checkpoint!))!)], [18, bytes])

    // What a newer worker could read all the time.
    bytes.write(inBytes(1), bytes.indexOf(inBytes(2)))
    await objects.put(checkpoint!, bytes)
    await objects.delete(ofQueued)
    for (const hash of [key('job', jobs.queued), queueKey(jobs.queued)]) await rewrite(hash, 'data', toSchema1)
    for (const job of [byRecord, jobs.queued]) await redis.hset(key('job', job), 'schema', '1')
    for (const job of [byRecord, jobs.queued, jobs.running]) {
      await bed.events(job)
      assert.equal(await registry.jobState(tenant, job), 'succeeded')
    }
    const savedAt = Math.max(...storedEvents(jobs.running).map(({ event }) => event.type === 'checkpoint' ? event.step : 0))
    const evaluated = (await bed.events(jobs.running)).flatMap(({ event }) => event.type === 'evaluation' && event.step <= savedAt ? [event.step] : [])
    assert.equal(new Set(evaluated).size, evaluated.length)
  })

  test('the alias that is to move: nothing is published until it can be read, then one version', async () => {
    const { registry } = bed
    const aliases = key('task', 'animals', 'aliases')
    const versions = await registry.listVersions(tenant, 'animals')
    await rewrite(aliases, 'production', ofSchema2)
    const job = await createJob(jobs.running, 'job_alias')
    await putAside(job, 'alias production of task animals')
    assert.deepEqual(await registry.listVersions(tenant, 'animals'), versions)
    await rewrite(aliases, 'production', toSchema1)
    await bed.events(job)
    assert.deepEqual((await registry.listVersions(tenant, 'animals')).slice(versions.length).map(version => version.job), [job])
    assert.equal((await registry.resolve(tenant, 'animals')).version.job, job)
    assert.equal(await worker.stop(), 0)
  })
})
