/** The inference process over HTTP, as `protocol.ts` says. Knows requests and lines, nothing of models. */
import { createHash, timingSafeEqual } from 'node:crypto'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { TypeCompiler } from '@sinclair/typebox/compiler'
import type { Logger } from 'pino'
import { type ErrorCode, ServiceError } from '../errors.js'
import { REPLICA_HEADER, SequenceRequestSchema, type SequenceEvent, type SequenceRequest, type ServiceStatus, type StatusReport } from './protocol.js'

/** What the server needs of `InferenceService`, or of whatever stands in while the graph loads. */
export interface Backend {
  submit (request: SequenceRequest, signal: AbortSignal, emit: (event: SequenceEvent) => void): Promise<void>
  status (): ServiceStatus
}

export interface ServerIdentity {
  /** Of this process. */
  readonly id: string
  /** What every request must carry; absent: none. */
  readonly secret?: string | undefined
}

/** Some 8 characters for each token id, for the longest context that can be configured, several times over. */
const MAX_BODY_BYTES = 8 * 1024 * 1024
/** Longer than the api leaves a connection unused between two scrapes of its metrics. */
const KEEP_ALIVE_MS = 60_000

/** Of a refusal that does not pass by itself; 400 for the rest. */
const STATUS: Partial<Record<ErrorCode, number>> = { invalid_api_key: 401, internal: 500 }

const requestCheck = TypeCompiler.Compile(SequenceRequestSchema)

/** @param backend asked at each request, so that it may change while the server listens */
export function createInferenceServer (backend: () => Backend, identity: ServerIdentity, logger: Logger): Server {
  return createServer({ keepAliveTimeout: KEEP_ALIVE_MS }, (request, response) => {
    route(backend(), identity, request, response).catch((error: unknown) => {
      if (response.destroyed) return
      if (!(error instanceof ServiceError)) logger.error({ err: error }, 'request failed')
      refuse(response, error instanceof ServiceError ? error : new ServiceError('internal', 'the inference process failed on this request'))
    })
  })
}

async function route (backend: Backend, { id, secret }: ServerIdentity, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const route = `${request.method} ${request.url}`
  if (secret !== undefined && !sameText(request.headers.authorization ?? '', `Bearer ${secret}`)) {
    throw new ServiceError('invalid_api_key', 'the request does not carry the INFERENCE_SECRET of this process')
  }
  if (route === 'GET /status') {
    const status: StatusReport = { id, ...backend.status() }
    response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(status))
    return
  }
  if (route !== 'POST /sequences') throw new ServiceError('route_not_found', `no route ${route}`)
  if ((request.headers[REPLICA_HEADER] ?? id) !== id) throw new ServiceError('inference_unavailable', 'the process that was meant has ended, this is another', { retryAfter: 1 })
  await runSequence(backend, request, response)
}

/** In a time that does not depend on where they differ. */
function sameText (a: string, b: string): boolean {
  const [left, right] = [a, b].map(text => createHash('sha256').update(text).digest()) as [Buffer, Buffer]
  return timingSafeEqual(left, right)
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
  const status = error.retryAfter !== undefined ? 503 : STATUS[error.code] ?? 400
  if (error.retryAfter !== undefined) response.setHeader('retry-after', error.retryAfter)
  response.writeHead(status, { 'content-type': 'application/json' })
  response.end(JSON.stringify({ error: { code: error.code, message: error.message, param: error.param ?? null } }))
}
