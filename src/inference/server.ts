/** The inference process over HTTP, as `protocol.ts` says. Knows requests and lines, nothing of models. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { TypeCompiler } from '@sinclair/typebox/compiler'
import type { Logger } from 'pino'
import { ServiceError } from '../errors.js'
import { SequenceRequestSchema, type SequenceEvent, type SequenceRequest, type StatusReport } from './protocol.js'

/** What the server needs of `InferenceService`, or of whatever stands in while the graph loads. */
export interface Backend {
  submit (request: SequenceRequest, signal: AbortSignal, emit: (event: SequenceEvent) => void): Promise<void>
  status (): StatusReport
}

/** Some 8 characters for each token id, for the longest context that can be configured, several times over. */
const MAX_BODY_BYTES = 8 * 1024 * 1024
/** Longer than the api leaves a connection unused between two scrapes of its metrics. */
const KEEP_ALIVE_MS = 60_000

const requestCheck = TypeCompiler.Compile(SequenceRequestSchema)

/** @param backend asked at each request, so that it may change while the server listens */
export function createInferenceServer (backend: () => Backend, logger: Logger): Server {
  return createServer({ keepAliveTimeout: KEEP_ALIVE_MS }, (request, response) => {
    route(backend(), request, response).catch((error: unknown) => {
      if (response.destroyed) return
      if (!(error instanceof ServiceError)) logger.error({ err: error }, 'request failed')
      refuse(response, error instanceof ServiceError ? error : new ServiceError('internal', 'the inference process failed on this request'))
    })
  })
}

async function route (backend: Backend, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const route = `${request.method} ${request.url}`
  if (route === 'GET /status') {
    response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(backend.status()))
    return
  }
  if (route !== 'POST /sequences') throw new ServiceError('route_not_found', `no route ${route}`)
  await runSequence(backend, request, response)
}

async function runSequence (backend: Backend, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const hangUp = new AbortController()
  response.on('close', () => {
    if (!response.writableFinished) hangUp.abort()
  })
  const sequence = parse(await bodyOf(request))
  // The answers of one sequence fit its slot, so a slow reader costs some kilobytes and never holds up a step.
  await backend.submit(sequence, hangUp.signal, event => {
    if (response.destroyed) return
    if (!response.headersSent) response.writeHead(200, { 'content-type': 'application/x-ndjson' })
    response.write(JSON.stringify(event) + '\n')
    if (event.type !== 'token') response.end()
  })
}

async function bodyOf (request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = []
  let bytes = 0
  for await (const chunk of request as AsyncIterable<Buffer>) {
    bytes += chunk.length
    if (bytes > MAX_BODY_BYTES) throw new ServiceError('body_too_large', `the body is longer than ${MAX_BODY_BYTES} bytes`)
    chunks.push(chunk)
  }
  return Buffer.concat(chunks).toString('utf8')
}

function parse (body: string): SequenceRequest {
  let value: unknown
  try {
    value = JSON.parse(body)
  } catch {
    throw new ServiceError('invalid_json', 'the body is not JSON')
  }
  if (requestCheck.Check(value)) return value as SequenceRequest
  const first = requestCheck.Errors(value).First()!
  throw new ServiceError('invalid_request', first.message, { param: first.path.slice(1) })
}

function refuse (response: ServerResponse, error: ServiceError): void {
  if (response.headersSent) {
    response.end(JSON.stringify({ type: 'failed', code: error.code, message: error.message } satisfies SequenceEvent) + '\n')
    return
  }
  const status = error.retryAfter !== undefined ? 503 : error.code === 'internal' ? 500 : 400
  if (error.retryAfter !== undefined) response.setHeader('retry-after', error.retryAfter)
  response.writeHead(status, { 'content-type': 'application/json' })
  response.end(JSON.stringify({ error: { code: error.code, message: error.message, param: error.param ?? null } }))
}
