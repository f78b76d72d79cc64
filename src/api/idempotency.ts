import type { FastifyRequest } from 'fastify'
import { canonicalJson, digestOf } from '../digest.js'
import { ServiceError } from '../errors.js'
import type { Registry } from '../registry/registry.js'
import { tenantOf } from './auth.js'

const MAX_KEY_LENGTH = 255

/**
 * With an `Idempotency-Key`, the same request again gets the stored answer and nothing happens twice; a refused request
 * frees the key. Without the header the handler just runs.
 * @param content what makes two requests the same beside their route: the body, or the digest of an upload
 */
export async function answerOnce<T> (registry: Registry, request: FastifyRequest, content: unknown, handle: () => Promise<T>): Promise<T> {
  const key = idempotencyKey(request)
  if (key === null) return await handle()
  const tenant = tenantOf(request)
  const route = `${request.method} ${request.routeOptions.url ?? ''}`
  const digest = digestOf(canonicalJson({ route, params: request.params, content }))
  const stored = await registry.reserveIdempotency(tenant, key, digest)
  if (stored !== null) return JSON.parse(stored) as T
  let answer: T
  try {
    answer = await handle()
  } catch (error) {
    await registry.releaseIdempotency(tenant, key, digest)
    throw error
  }
  // Outside the try: what was done stays done, so a failure to remember it must not free the key.
  await registry.storeIdempotent(tenant, key, digest, JSON.stringify(answer))
  return answer
}

/** For POSTs whose answer must not be stored. @throws ServiceError `invalid_request` when the header is there */
export function refuseIdempotencyKey (request: FastifyRequest, reason: string): void {
  if (idempotencyKey(request) !== null) throw new ServiceError('invalid_request', `Idempotency-Key is not taken here: ${reason}`, { param: 'idempotency-key' })
}

function idempotencyKey (request: FastifyRequest): string | null {
  const header = request.headers['idempotency-key']
  if (header === undefined) return null
  if (typeof header !== 'string' || header === '' || header.length > MAX_KEY_LENGTH) {
    throw new ServiceError('invalid_request', `Idempotency-Key is one text of 1 to ${MAX_KEY_LENGTH} characters`, { param: 'idempotency-key' })
  }
  return header
}
