import assert from 'node:assert/strict'
import { once } from 'node:events'
import { after, before, suite, test } from 'node:test'
import { Queue, Worker } from 'bullmq'
import { Redis } from 'ioredis'
import { QUEUE_OPTIONS, QUEUE_PREFIX, WORKER_OPTIONS } from '../../src/training/queue.js'
import { type RedisServer, startRedis } from '../support/redis.js'

suite('the training queue', () => {
  let server: RedisServer
  before(async () => { server = await startRedis() })
  after(async () => await server.stop())

  test('hands a job on from each worker that dies to the next', async () => {
    const producer = new Redis(server.url)
    const queue = new Queue('deaths', { connection: producer, prefix: QUEUE_PREFIX })
    await queue.add('train', {}, { ...QUEUE_OPTIONS, jobId: 'job_1' })
    const deaths = 3
    const takenBy: number[] = []
    for (let number = 0; number <= deaths; number++) {
      const connection = new Redis(server.url, { maxRetriesPerRequest: null })
      const worker = new Worker('deaths', async () => {
        takenBy.push(number)
        // A worker that dies never answers; the last one does.
        if (number < deaths) await new Promise(() => {})
      }, { ...WORKER_OPTIONS, lockDuration: 150, stalledInterval: 50, connection })
      await once(worker, number < deaths ? 'active' : 'completed')
      await worker.close(true)
      connection.disconnect()
    }
    assert.deepEqual(takenBy, [0, 1, 2, 3])
    assert.equal(await queue.getJobState('job_1'), 'completed')
    await queue.close()
    producer.disconnect()
  })
})
