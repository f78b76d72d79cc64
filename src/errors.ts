/**
 * Every error that reaches a client has one of these codes. The code is the contract: it crosses processes and is
 * never renamed; the message is for a person and carries the values. Which HTTP status a code has is known only to
 * `api/errors.ts`. A broken invariant of ours is a plain `Error`, never one of these.
 */
export const ERROR_CODES = [
  'invalid_json', 'invalid_request', 'unknown_parameter', 'empty_input', 'context_too_long', 'unsupported_parameter',
  'invalid_api_key', 'insufficient_scope',
  'task_not_found', 'version_not_found', 'alias_not_found', 'job_not_found', 'file_not_found', 'base_not_found',
  'key_not_found', 'route_not_found',
  'method_not_allowed', 'body_too_large', 'unsupported_media_type',
  'task_exists', 'job_not_cancellable', 'idempotency_conflict', 'task_in_use',
  'alias_moved',
  'bad_line', 'empty_file', 'one_label', 'unknown_label', 'not_finite', 'wrong_base', 'malformed_artifact', 'gate_failed',
  'rate_limited', 'quota_exceeded',
  'internal', 'artifact_corrupt', 'newer_schema',
  'starting', 'saturated', 'inference_unavailable', 'registry_unavailable'
] as const
export type ErrorCode = typeof ERROR_CODES[number]

export interface ErrorDetails {
  /** The offending field as a JSON pointer without the leading slash (`method/num_virtual_tokens`), or the name of a header (in lower case) or tensor. */
  readonly param?: string
  /** 1-based line of an uploaded file. */
  readonly line?: number
  /** Seconds after which the same request may succeed. */
  readonly retryAfter?: number
  readonly cause?: unknown
}

export class ServiceError extends Error {
  override readonly name = 'ServiceError'
  readonly code: ErrorCode
  readonly param: string | undefined
  readonly line: number | undefined
  readonly retryAfter: number | undefined

  constructor (code: ErrorCode, message: string, details: ErrorDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause })
    this.code = code
    this.param = details.param
    this.line = details.line
    this.retryAfter = details.retryAfter
  }
}

/** What is needed is not there yet and may come by itself: a process that is starting waits for it. */
export class NotYetError extends Error { override readonly name = 'NotYetError' }

/** The file itself is wrong, so retrying cannot help. `message` names tensor, key or offset and the limit. */
export class MalformedModelError extends Error { override readonly name = 'MalformedModelError' }
