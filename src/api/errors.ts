/** The only place that knows HTTP statuses, and the one shape every refusal has. */
import { randomBytes } from 'node:crypto'
import type { Duplex } from 'node:stream'
import type { FastifyError, FastifyReply, FastifyRequest } from 'fastify'
import { Type } from '@sinclair/typebox'
import { ERROR_CODES, type ErrorCode, MalformedModelError, ServiceError } from '../errors.js'
import { describeValidation } from './validation.js'

export const STATUS: Record<ErrorCode, number> = {
  invalid_json: 400,
  invalid_request: 400,
  unknown_parameter: 400,
  empty_input: 400,
  context_too_long: 400,
  unsupported_parameter: 400,
  invalid_api_key: 401,
  insufficient_scope: 403,
  task_not_found: 404,
  version_not_found: 404,
  alias_not_found: 404,
  job_not_found: 404,
  file_not_found: 404,
  base_not_found: 404,
  key_not_found: 404,
  route_not_found: 404,
  method_not_allowed: 405,
  body_too_large: 413,
  unsupported_media_type: 415,
  task_exists: 409,
  job_not_cancellable: 409,
  idempotency_conflict: 409,
  task_in_use: 409,
  alias_moved: 412,
  bad_line: 422,
  empty_file: 422,
  one_label: 422,
  unknown_label: 422,
  not_finite: 422,
  wrong_base: 422,
  malformed_artifact: 422,
  gate_failed: 422,
  rate_limited: 429,
  quota_exceeded: 429,
  internal: 500,
  artifact_corrupt: 500,
  newer_schema: 500,
  starting: 503,
  saturated: 503,
  inference_unavailable: 503,
  registry_unavailable: 503
}

/** What a 429 or 503 says when nobody knew better: long enough to calm a loop, short enough for a restart. */
const DEFAULT_RETRY_SECONDS = 1

/** Nobody sees it but the log (nginx's number for the same). */
const HUNG_UP = 499

/** The class of an error, in OpenAI's words, so that their client libraries sort ours rightly. */
export function errorType (code: ErrorCode): string {
  const status = STATUS[code]
  if (status === 401) return 'authentication_error'
  if (status === 403) return 'permission_error'
  if (status === 429) return 'rate_limit_error'
  return status >= 500 ? 'server_error' : 'invalid_request_error'
}

export const ErrorSchema = Type.Object({
  code: Type.Union(ERROR_CODES.map(code => Type.Literal(code)), { description: 'stable; docs/errors.md lists all' }),
  message: Type.String(),
  param: Type.Union([Type.String(), Type.Null()], { description: 'the offending field (`method/num_virtual_tokens`), header or tensor' }),
  line: Type.Optional(Type.Integer({ minimum: 1, description: 'line of an uploaded file, from 1' })),
  type: Type.String(),
  request_id: Type.String()
}, { title: 'Error' })

export const ErrorBodySchema = Type.Object({ error: ErrorSchema })

export interface ErrorObject {
  readonly code: ErrorCode
  readonly message: string
  readonly param: string | null
  readonly line?: number
  readonly type: string
  readonly request_id: string
}

export function errorObject (error: ServiceError, requestId: string): ErrorObject {
  return {
    code: error.code,
    message: error.message,
    param: error.param ?? null,
    ...(error.line === undefined ? {} : { line: error.line }),
    type: errorType(error.code),
    request_id: requestId
  }
}

/** Fastify's own refusals by their code; its messages never quote the body. */
const FASTIFY_CODES: Readonly<Record<string, ErrorCode>> = {
  FST_ERR_CTP_BODY_TOO_LARGE: 'body_too_large',
  FST_ERR_CTP_INVALID_MEDIA_TYPE: 'unsupported_media_type',
  FST_ERR_CTP_INVALID_CONTENT_LENGTH: 'invalid_request',
  FST_ERR_CTP_EMPTY_JSON_BODY: 'invalid_json',
  FST_ERR_CTP_INVALID_JSON_BODY: 'invalid_json',
  FST_ERR_BAD_URL: 'invalid_request',
  FST_ERR_MAX_PARAM_LENGTH: 'route_not_found',
  FST_REQ_FILE_TOO_LARGE: 'body_too_large',
  FST_PARTS_LIMIT: 'invalid_request',
  FST_FILES_LIMIT: 'invalid_request',
  FST_FIELDS_LIMIT: 'invalid_request',
  FST_PROTO_VIOLATION: 'invalid_request',
  FST_MP_PREMATURE_CLOSE: 'invalid_request'
}

/** What anything thrown means to a client; an unexpected error becomes `internal` and says nothing about itself. */
export function asServiceError (error: unknown): ServiceError {
  if (error instanceof ServiceError) return error
  if (error instanceof MalformedModelError) return new ServiceError('malformed_artifact', error.message, { cause: error })
  const { code = '', validation, validationContext, statusCode, message } = error as Partial<FastifyError>
  if (validation !== undefined) return describeValidation(validation, validationContext ?? 'body')
  const known = FASTIFY_CODES[code]
  if (known !== undefined) return new ServiceError(known, message ?? known, { cause: error })
  // The JSON parser's own errors (a forbidden key such as __proto__) carry a status and no code.
  if (statusCode === 400 && error instanceof SyntaxError) return new ServiceError('invalid_json', 'the body is not acceptable JSON', { cause: error })
  return new ServiceError('internal', 'something went wrong on our side; the request id finds it in the log', { cause: error })
}

export function replyWithError (thrown: unknown, request: FastifyRequest, reply: FastifyReply): FastifyReply {
  if (reply.raw.destroyed && !reply.raw.writableEnded) {
    request.log.debug('the client hung up')
    return reply.code(HUNG_UP).send()
  }
  const error = asServiceError(thrown)
  const status = STATUS[error.code]
  if (status >= 500) request.log.error({ code: error.code, err: error.cause instanceof Error ? error.cause : error }, 'request failed')
  // Also a 409 whose first request is still being answered.
  if (status === 429 || status === 503 || error.retryAfter !== undefined) reply.header('retry-after', String(Math.ceil(error.retryAfter ?? DEFAULT_RETRY_SECONDS)))
  if (status === 401) reply.header('www-authenticate', 'Bearer')
  return reply.code(status).type('application/json; charset=utf-8').serializer(JSON.stringify).send({ error: errorObject(error, request.id) })
}

/** What Node's parser gives up on, by its code; anything else is not HTTP. */
const NOT_A_REQUEST: Readonly<Record<string, readonly [status: string, message: string]>> = {
  ERR_HTTP_REQUEST_TIMEOUT: ['408 Request Timeout', 'the request took too long to arrive'],
  HPE_HEADER_OVERFLOW: ['431 Request Header Fields Too Large', 'the headers are longer than a request may have']
}

/** What never becomes a request gets its answer written by hand. */
export function refuseMalformedHttp (error: NodeJS.ErrnoException, socket: Duplex): void {
  if (socket.destroyed || !socket.writable) return
  const [status, message] = NOT_A_REQUEST[error.code ?? ''] ?? ['400 Bad Request', 'this is not an HTTP request we can read']
  const requestId = `req_${randomBytes(12).toString('hex')}`
  const body = JSON.stringify({ error: errorObject(new ServiceError('invalid_request', message), requestId) })
  socket.end(`HTTP/1.1 ${status}\r\ncontent-type: application/json; charset=utf-8\r\ncontent-length: ${Buffer.byteLength(body)}\r\nconnection: close\r\n\r\n${body}`)
}
