import assert from 'node:assert/strict'
import { after, before, beforeEach, suite, test } from 'node:test'
import type { InferEvent } from '../answers.js'
import { byteTokenizer } from '../byte-tokenizer.js'
import { says, saysAndHangs } from '../scripted-inference.js'
import { receivedEvents } from '../server-sent-events.js'
import { type Caller, openTestbedWithTasks, type Testbed } from '../testbed.js'

suite('POST /v1/tasks/{task}/infer, streamed', () => {
  let bed: Testbed
  let caller: Caller
  let url: string

  before(async () => {
    ({ bed, caller } = await openTestbedWithTasks())
    url = `${await bed.listen()}/v1/tasks/writer/infer`
  })
  after(async () => await bed.close())
  beforeEach(() => { bed.inference.cancelled.length = 0 })

  async function ask (body: object, signal?: AbortSignal): Promise<Response> {
    return await fetch(url, {
      method: 'POST',
      headers: { authorization: `Bearer ${caller.secret}`, 'content-type': 'application/json' },
      body: JSON.stringify({ input: 'hi', stream: true, ...body }),
      ...(signal === undefined ? {} : { signal })
    })
  }

  test('sends start, whole characters as they are complete, and how it finished', async () => {
    bed.inference.script = says('aé😀', { virtualTokens: 16 })
    const response = await ask({})
    assert.equal(response.headers.get('content-type'), 'text/event-stream; charset=utf-8')
    const events = await all(response)
    assert.deepEqual(events.map(({ event, data }) => event === 'text' ? data.text : event), ['start', 'a', 'é', '😀', 'finished'])
    const start = events[0]!
    assert.ok(start.event === 'start')
    assert.deepEqual([start.data.task, start.data.version, start.data.method], ['writer', 1, 'prefix-tuning'])
    assert.match(start.data.id, /^inf_/)
    const finished = events.at(-1)!
    assert.ok(finished.event === 'finished')
    assert.deepEqual([finished.data.finish_reason, finished.data.usage], ['stop', { prompt_tokens: 3, virtual_tokens: 16, completion_tokens: 7 }])
  })

  test('sends no part of a stop string that is split over tokens, and frees the slot at once', async () => {
    bed.inference.script = saysAndHangs('so far</so>')
    const events = await all(await ask({ stop: ['</so>'] }))
    assert.equal(textOf(events), 'so far')
    const last = events.at(-1)!
    assert.equal(last.event === 'finished' && last.data.finish_reason, 'stop')
    assert.equal(bed.inference.cancelled.length, 1)
  })

  test('sends the same text as without streaming', async () => {
    const text = 'größe </s </sx 日本 <end'
    bed.inference.script = says(text)
    assert.equal(textOf(await all(await ask({ stop: ['</s>', '<end>'] }))), text)
  })

  test('a client that hangs up cancels its sequence', async () => {
    bed.inference.script = saysAndHangs('first words')
    const cancelled = bed.inference.nextCancel()
    const controller = new AbortController()
    const response = await ask({}, controller.signal)
    for await (const event of receivedEvents(response)) if (event.event === 'text') break
    controller.abort()
    await cancelled
    assert.equal(bed.inference.cancelled.length, 1)
  })

  test('a client that hangs up before the first token cancels too, streamed or not', async () => {
    for (const stream of [true, false]) {
      const running = new Promise<void>(resolve => {
        bed.inference.script = async function * (request, signal) {
          resolve()
          yield * saysAndHangs('')(request, signal)
        }
      })
      const cancelled = bed.inference.nextCancel()
      const controller = new AbortController()
      const refused = assert.rejects(ask({ stream }, controller.signal))
      await running
      controller.abort()
      await refused
      await cancelled
    }
    assert.equal(bed.inference.cancelled.length, 2)
  })

  test('a sequence that fails in the middle ends with an error event', async () => {
    bed.inference.script = function * () {
      for (const id of byteTokenizer.encode('ab')) yield { type: 'token', id }
      yield { type: 'failed', code: 'inference_unavailable', message: 'stopped' }
    }
    const events = await all(await ask({}))
    assert.equal(textOf(events), 'ab')
    const last = events.at(-1)!
    assert.equal(last.event === 'error' && last.data.error.code, 'inference_unavailable')
  })
})

async function all (response: Response): Promise<InferEvent[]> {
  const events: InferEvent[] = []
  for await (const event of receivedEvents<InferEvent>(response)) events.push(event)
  return events
}

function textOf (events: readonly InferEvent[]): string {
  return events.filter(event => event.event === 'text').map(event => event.data.text).join('')
}
