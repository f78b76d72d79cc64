import assert from 'node:assert/strict'
import { after, before, beforeEach, suite, test } from 'node:test'
import type { JobEvent } from '../../src/training/job.js'
import { job, openTestbed, refused, task, type Testbed } from './testbed.js'

const step = (number: number): JobEvent & { type: 'checkpoint' } => ({ type: 'checkpoint', step: number })

async function readNothing (bed: Testbed, tenant: string, id: string, lastId: string): Promise<void> {
  for await (const _ of bed.registry.jobEvents(tenant, id, lastId, new AbortController().signal)) assert.fail('no event was expected')
}

suite('job events', () => {
  let bed: Testbed
  let id: string
  let count = 0
  before(async () => {
    bed = await openTestbed()
    await bed.registry.createTask('one', task('t'))
  })
  after(async () => await bed.close())
  beforeEach(async () => {
    id = `job_events${count++}`
    await bed.registry.createJob(job('one', 't', id))
  })

  /** All events from behind `lastId` until the stream ends by itself. */
  async function collect (lastId = '0', onEvent: (index: number) => Promise<unknown> = async () => {}): Promise<Array<{ id: string, event: JobEvent }>> {
    const events = []
    for await (const entry of bed.registry.jobEvents('one', id, lastId, new AbortController().signal)) {
      events.push(entry)
      await onEvent(events.length)
    }
    return events
  }

  test('arrive as they are appended and end with the final state', async () => {
    const events = await collect('0', async number => {
      if (number === 1) await bed.registry.setJobState('one', id, 'running', { reason: 'first attempt' })
      if (number === 2) await bed.registry.appendJobEvent('one', id, step(1))
      if (number === 3) await bed.registry.setJobState('one', id, 'succeeded')
    })
    assert.deepEqual(events.map(({ event }) => event), [
      { type: 'state', state: 'queued' },
      { type: 'state', state: 'running', reason: 'first attempt' },
      step(1),
      { type: 'state', state: 'succeeded' }
    ])
  })

  test('that come after the final state are dropped', async () => {
    await bed.registry.setJobState('one', id, 'cancelled')
    await bed.registry.appendJobEvent('one', id, step(1))
    assert.equal(await bed.redis.xlen(`pf:t:{one}:job:${id}:events`), 2)
  })

  test('wake a reader that waits', async () => {
    const reader = collect()
    const other = await bed.connect()
    await other.setJobState('one', id, 'failed')
    assert.deepEqual((await reader).map(({ event }) => event.type), ['state', 'state'])
  })

  test('go on behind the last one a client saw, in every position', async () => {
    for (let number = 1; number <= 5; number++) await bed.registry.appendJobEvent('one', id, step(number))
    await bed.registry.setJobState('one', id, 'succeeded')
    const all = await collect()
    assert.equal(all.length, 7)
    for (const [index, { id: lastId }] of all.entries()) assert.deepEqual(await collect(lastId), all.slice(index + 1))
  })

  test('more than one read takes come complete and in order', async () => {
    await Promise.all(Array.from({ length: 450 }, async (_, number) => await bed.registry.appendJobEvent('one', id, step(number))))
    await bed.registry.setJobState('one', id, 'succeeded')
    const steps = (await collect()).flatMap(({ event }) => event.type === 'checkpoint' ? [event.step] : [])
    assert.deepEqual(steps, Array.from({ length: 450 }, (_, number) => number))
  })

  test('end without an error, and without a connection left, when the reader gives up while it waits', async () => {
    const before = await clients()
    const controller = new AbortController()
    const events = []
    for await (const { event } of bed.registry.jobEvents('one', id, '0', controller.signal)) {
      events.push(event)
      // The reader is back in its blocking read when this fires.
      setImmediate(() => controller.abort())
    }
    assert.deepEqual(events, [{ type: 'state', state: 'queued' }])
    await clientsReach(before)
    for await (const _ of bed.registry.jobEvents('one', id, '0', AbortSignal.abort())) assert.fail('an aborted reader gets nothing')
  })

  test('leave no connection when the reader breaks off', async () => {
    const before = await clients()
    for await (const _ of bed.registry.jobEvents('one', id, '0', new AbortController().signal)) break
    await clientsReach(before)
  })

  test('end when the registry closes', async () => {
    const other = await bed.connect()
    const events = []
    for await (const { event } of other.jobEvents('one', id, '0', new AbortController().signal)) {
      events.push(event)
      setImmediate(() => { void other.close() })
    }
    assert.equal(events.length, 1)
  })

  test('of an unknown job, or from an id that is none, are refused', async () => {
    await assert.rejects(readNothing(bed, 'one', 'job_absent', '0'), refused('job_not_found'))
    await assert.rejects(readNothing(bed, 'two', id, '0'), refused('job_not_found'))
    for (const none of ['$', '1-', '99999999999999999999', '0-99999999999999999999']) {
      await assert.rejects(readNothing(bed, 'one', id, none), { code: 'invalid_request', param: 'last-event-id' }, none)
    }
  })

  test('stay silent while Redis is away and go on where they were', async () => {
    const events = []
    for await (const { event } of bed.registry.jobEvents('one', id, '0', new AbortController().signal)) {
      events.push(event)
      if (events.length > 1) continue
      await bed.server.kill9()
      await bed.server.restart()
      const writer = await bed.connect('wait')
      await writer.appendJobEvent('one', id, step(1))
      await writer.setJobState('one', id, 'succeeded')
    }
    assert.deepEqual(events, [{ type: 'state', state: 'queued' }, step(1), { type: 'state', state: 'succeeded' }])
  })

  async function clients (): Promise<number> {
    return (await bed.redis.client('LIST') as string).trim().split('\n').length
  }

  /** The server notices a closed connection in its own time. */
  async function clientsReach (number: number): Promise<void> {
    while (await clients() > number) await new Promise(resolve => setImmediate(resolve))
  }
})
