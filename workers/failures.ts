import { type ErrorCode, MalformedModelError, ServiceError } from '../src/errors.js'

/** What may succeed when it is tried again; everything else that has a code is about the job itself. */
const PASSING: readonly ErrorCode[] = ['internal', 'starting', 'saturated', 'inference_unavailable', 'registry_unavailable', 'rate_limited', 'quota_exceeded']

/** Whether the same job would fail in the same way on every worker of this version. */
export function isPermanent (error: unknown): error is ServiceError | MalformedModelError {
  return error instanceof MalformedModelError || (error instanceof ServiceError && !PASSING.includes(error.code))
}

/** What a client is told. A model file is not theirs, so its fault is ours. */
export function failureOf (error: ServiceError | MalformedModelError): { readonly code: ErrorCode, readonly message: string } {
  return { code: error instanceof ServiceError ? error.code : 'internal', message: error.message }
}
