import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer } from 'node:net'
import { suite, test } from 'node:test'
import { RedisRegistry } from '../../src/registry/redis-registry.js'
import { job, openTestbed, task, version } from './testbed.js'

const unavailable = { code: 'registry_unavailable', retryAfter: 1 }

async function untilAnswered (run: () => Promise<unknown>): Promise<void> {
  while (true) {
    try {
      await run()
      return
    } catch (error) {
      if (!(error instanceof Error && 'code' in error && error.code === 'registry_unavailable')) throw error
      await new Promise(resolve => setImmediate(resolve))
    }
  }
}

suite('while Redis is away', () => {
  test('requests fail at once, and work again when it is back', async () => {
    const bed = await openTestbed({ appendfsync: 'always' })
    try {
      await bed.registry.createTask('a', task('t'))
      await bed.registry.publishVersion('a', 't', version('x'))
      await bed.server.kill9()
      const started = performance.now()
      await assert.rejects(bed.registry.resolve('a', 't'), unavailable)
      await assert.rejects(bed.registry.createJob(job('a', 't', 'job_1')), unavailable)
      await assert.rejects(bed.registry.findKey('pf_' + 'x'.repeat(43)), unavailable)
      // The time-out of a command that got no answer is 5 s; these know that there is no connection.
      assert.ok(performance.now() - started < 2_000)
      await bed.server.restart()
      await untilAnswered(async () => await bed.registry.resolve('a', 't'))
      assert.equal((await bed.registry.resolve('a', 't')).version.number, 1)
      assert.equal((await bed.registry.createJob(job('a', 't', 'job_1'))).state, 'queued')
    } finally {
      await bed.close()
    }
  })

  test('a training job waits and loses no event', async () => {
    const bed = await openTestbed({ appendfsync: 'always' })
    try {
      await bed.registry.createTask('a', task('t'))
      await bed.registry.createJob(job('a', 't', 'job_1'))
      const worker = await bed.connect('wait')
      await bed.server.kill9()
      const appended = worker.appendJobEvent('a', 'job_1', { type: 'checkpoint', step: 1 })
      await bed.server.restart()
      await appended
      await worker.setJobState('a', 'job_1', 'succeeded')
      const events = []
      for await (const { event } of worker.jobEvents('a', 'job_1', '0', new AbortController().signal)) events.push(event.type)
      assert.deepEqual(events, ['state', 'checkpoint', 'state'])
    } finally {
      await bed.close()
    }
  })

  test('events are heard again after it came back', async () => {
    const bed = await openTestbed()
    try {
      const heard = new EventTarget()
      bed.registry.onEvent(() => heard.dispatchEvent(new Event('any')))
      await bed.server.kill9()
      await bed.server.restart()
      const writer = await bed.connect()
      while ((await bed.redis.pubsub('NUMSUB', 'pf:events'))[1] !== 2) await new Promise(resolve => setImmediate(resolve))
      const event = once(heard, 'any')
      await writer.createTask('a', task('t'))
      await event
    } finally {
      await bed.close()
    }
  })

  test('a job whose record was written just before is queued when it is back', async () => {
    const bed = await openTestbed({ appendfsync: 'always' })
    try {
      await bed.registry.createTask('a', task('t'))
      await bed.registry.createJob(job('a', 't', 'job_1'))
      const queueKeys = await bed.redis.keys('{pf}:queue:*')
      await bed.redis.del(...queueKeys)
      await bed.server.restart()
      while (await bed.redis.exists('{pf}:queue:training:job_1') === 0) await new Promise(resolve => setImmediate(resolve))
    } finally {
      await bed.close()
    }
  })

  test('a registry does not open', async () => {
    // A port that nothing listens on: taken, then given back.
    const server = createServer().listen(0, '127.0.0.1')
    await once(server, 'listening')
    const address = server.address()
    assert.ok(address !== null && typeof address !== 'string')
    await new Promise(resolve => server.close(resolve))
    const bed = await openTestbed()
    try {
      await assert.rejects(RedisRegistry.connect({ url: `redis://127.0.0.1:${address.port}`, objects: bed.objects, whenDown: 'fail', connectMs: 200 }), unavailable)
    } finally {
      await bed.close()
    }
  })
})
