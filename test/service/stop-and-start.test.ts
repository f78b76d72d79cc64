/** SIGTERM ends the service in order, and the next start goes on where it ended. */
import assert from 'node:assert/strict'
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, suite, test } from 'node:test'
import { errorOf, type InferEvent, type Version } from '../api/answers.js'
import { receivedEvents } from '../api/server-sent-events.js'
import { sharedFolder } from '../support/shared.js'
import { writeTinyLlama } from '../support/tiny-llama.js'
import { isCheckpoint, rowsOfTwoLabels, Testbed } from './testbed.js'

const METHOD = { type: 'prompt-tuning', num_virtual_tokens: 4 }

suite('stop and start', { timeout: 900_000 }, () => {
  let service: Testbed
  let job: string
  before(async () => {
    service = await Testbed.open()
    await service.post('/v1/tasks', { name: 'things', kind: 'classification', labels: ['basket', 'frog'] })
  })
  after(async () => await service.close())

  test('SIGTERM: the stream under way ends with its last word, the job goes back to the queue, no process is left', async () => {
    job = await service.train('things', { rows: rowsOfTwoLabels(), recipe: { max_steps: 1500, evaluations: 100 }, method: METHOD })
    await service.events(job, isCheckpoint)
    const response = await service.fetch('POST', `/v1/tasks/${(await service.base()).name}/infer`, { input: 'the basket', max_tokens: 800, stream: true })
    const stream = receivedEvents<InferEvent>(response)
    assert.equal((await stream.next()).value?.event, 'start')
    assert.equal((await stream.next()).value?.event, 'text')
    const stopped = service.service.stop()
    const rest: InferEvent[] = []
    for await (const event of stream) rest.push(event)
    const last = rest.at(-1)!
    assert.ok(last.event === 'finished')
    assert.deepEqual([last.data.finish_reason, last.data.usage.completion_tokens], ['length', 800])
    assert.equal(await stopped, 0)
    assert.equal(service.service.lines.at(-1), 'stopped')
    assert.deepEqual(service.processes(), [])
  })

  test('the next start is quick, takes the job up and publishes it once', async t => {
    await service.startAgain()
    const ready = service.service.lines.find(line => line.startsWith('ready in '))!
    t.diagnostic(`second start: ${ready}`)
    assert.ok(!service.service.lines.some(line => line.includes('API key')), 'the key is shown once')
    const events = (await service.events(job)).map(({ event }) => event)
    const states = events.filter(event => event.type === 'state')
    assert.deepEqual(states.map(({ state }) => state), ['queued', 'running', 'queued', 'running', 'succeeded'])
    assert.equal(states[2]!.reason, 'its worker stopped')
    // Every evaluation once: the run went on at the step where it was stopped.
    assert.deepEqual(events.filter(event => event.type === 'evaluation').map(({ step }) => step), Array.from({ length: 100 }, (_, i) => 15 * (i + 1)))
    assert.deepEqual((await service.list<Version>('/v1/tasks/things/versions')).map(version => [version.version, version.job]), [[1, job]])
    assert.equal((await service.infer('things', 'the basket')).version, 1)
  })

  test('started with another base, a task of the first one is refused by both digests and not served', async () => {
    const first = await service.base()
    assert.equal(await service.service.stop(), 0)
    const folder = join(service.folder, 'other')
    await mkdir(folder)
    writeTinyLlama(folder, { seed: 2 })
    await service.startAgain({ PERMAFROST_BASE: folder })
    const second = await service.base()
    const file = await service.upload(rowsOfTwoLabels())
    for (const [path, body] of [['/v1/tasks/things/infer', { input: 'the basket' }], ['/v1/training-jobs', { task: 'things', training_file: file }]] as const) {
      const answer = await service.ask('POST', path, body)
      const { code, message } = errorOf(answer)
      assert.deepEqual([path, answer.status, code], [path, 422, 'wrong_base'])
      assert.ok(message.includes(first.digest) && message.includes(second.digest))
    }
    // A task of this base beside it works.
    await service.post('/v1/tasks', { name: 'others', kind: 'classification', labels: ['basket', 'frog'] })
    await service.events(await service.train('others', { rows: rowsOfTwoLabels(), recipe: { max_steps: 4 }, method: METHOD }))
    assert.equal((await service.infer('others', 'the basket')).version, 1)
  })

  const stories = sharedFolder('models', 'stories260K')
  test('stories260K, of plain operators, tells a story', { skip: stories === null ? 'no models/stories260K under PERMAFROST_SHARED' : false }, async () => {
    assert.equal(await service.service.stop(), 0)
    await service.startAgain({ PERMAFROST_BASE: stories!, SERVING_GRAPH: 'float32' })
    const { text } = await service.infer((await service.base()).name, 'Once upon a time', { max_tokens: 12 })
    assert.match(text ?? '', /^, there was a little/)
  })
})
