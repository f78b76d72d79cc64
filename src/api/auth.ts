/** Who is asking: every route under /v1 names the scopes of which a key needs one. */
import type { FastifyRequest } from 'fastify'
import { ServiceError } from '../errors.js'
import type { KeyRecord, Registry, Scope } from '../registry/registry.js'

declare module 'fastify' {
  interface FastifyRequest {
    /** Set by the authentication hook before any handler under /v1. */
    key: KeyRecord | null
  }
  interface FastifyContextConfig {
    /** One of these is enough; absent: the route needs no key. */
    scopes?: readonly Scope[]
  }
}

/** Reading tasks, versions, aliases and bases: whoever uses, trains or publishes them. */
export const READERS: readonly Scope[] = ['infer', 'train', 'publish']

const BEARER = /^Bearer +(pf_[A-Za-z0-9_-]{1,200})$/i

/** @throws ServiceError `invalid_api_key`, `insufficient_scope` naming what is missing */
export async function authenticate (request: FastifyRequest, registry: Registry): Promise<void> {
  const scopes = request.routeOptions.config.scopes
  if (scopes === undefined) return
  const header = request.headers.authorization
  if (header === undefined) throw new ServiceError('invalid_api_key', 'an API key is needed: Authorization: Bearer pf_...', { param: 'authorization' })
  const secret = BEARER.exec(header)?.[1]
  const key = secret === undefined ? null : await registry.findKey(secret)
  if (key === null) throw new ServiceError('invalid_api_key', 'this API key is unknown or revoked', { param: 'authorization' })
  if (!scopes.some(scope => key.scopes.includes(scope))) {
    throw new ServiceError('insufficient_scope', `this needs a key with the scope ${scopes.join(' or ')}; this key has ${key.scopes.join(', ')}`, { param: 'authorization' })
  }
  request.key = key
}

/** The tenant of an authenticated request. */
export function tenantOf (request: FastifyRequest): string {
  return keyOf(request).tenant
}

export function keyOf (request: FastifyRequest): KeyRecord {
  if (request.key === null) throw new Error('internal: a handler that asks for the key has no scopes in its route config')
  return request.key
}
