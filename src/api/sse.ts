/** Server-sent events (WHATWG HTML, section 9.2). */
import { Readable } from 'node:stream'
import type { FastifyReply } from 'fastify'

export interface ServerSentEvent {
  /** Comes back as `Last-Event-ID` when the client reconnects. */
  readonly id?: string
  readonly event: string
  readonly data: unknown
}

/** Proxies close connections that stay silent for a minute or so; a comment line keeps them open. */
const HEARTBEAT_MS = 15_000

/** Send the events until the iterable ends. A client that hangs up ends the iteration. */
export function replyWithEvents (reply: FastifyReply, events: AsyncIterable<ServerSentEvent>, heartbeatMs = HEARTBEAT_MS): FastifyReply {
  return reply
    .header('content-type', 'text/event-stream; charset=utf-8')
    .header('cache-control', 'no-cache, no-transform')
    .header('x-accel-buffering', 'no')
    .send(Readable.from(lines(events, heartbeatMs), { objectMode: false, highWaterMark: 64 * 1024 }))
}

async function * lines (events: AsyncIterable<ServerSentEvent>, heartbeatMs: number): AsyncGenerator<Buffer> {
  // Sent at once, so that the client sees the headers before the first event.
  yield Buffer.from(':\n\n')
  const iterator = events[Symbol.asyncIterator]()
  try {
    let pending = iterator.next()
    while (true) {
      const next = await orSilence(pending, heartbeatMs)
      if (next === null) {
        yield Buffer.from(':\n\n')
        continue
      }
      if (next.done === true) return
      const { id, event, data } = next.value
      yield Buffer.from(`${id === undefined ? '' : `id: ${id}\n`}event: ${event}\ndata: ${JSON.stringify(data)}\n\n`)
      pending = iterator.next()
    }
  } finally {
    await iterator.return?.()
  }
}

async function orSilence<T> (pending: Promise<T>, milliseconds: number): Promise<T | null> {
  let timer: NodeJS.Timeout | undefined
  const silence = new Promise<null>(resolve => { timer = setTimeout(() => resolve(null), milliseconds) })
  try {
    return await Promise.race([pending, silence])
  } finally {
    clearTimeout(timer)
  }
}
