import type { FastifyReply } from 'fastify'

/** Fires when the client closes the connection before it has its whole answer. */
export function hangUpSignal (reply: FastifyReply): AbortSignal {
  const controller = new AbortController()
  const response = reply.raw
  // Closed while the key was looked up: the event is over.
  if (response.closed && !response.writableFinished) controller.abort()
  response.once('close', () => { if (!response.writableFinished) controller.abort() })
  return controller.signal
}
