/** `Idempotency-Key`: a POST that is repeated with the same key gets the first answer again, for 24 hours. */
import { createHash } from 'node:crypto'
import type { Redis } from 'ioredis'
import type { Digest } from '../digest.js'
import { ServiceError } from '../errors.js'
import { LuaScript } from './lua-script.js'
import { idempotencyKey } from './redis-keys.js'
import { decodeRecord, encodeRecord } from './stored-record.js'

const ANSWER_S = 24 * 60 * 60
/** A claim whose process died lives no longer than the slowest request may take to arrive (`api/app.ts`). */
const CLAIM_S = 10 * 60

const RESERVE = new LuaScript('reserve-idempotency-1.lua')
const RELEASE = new LuaScript('release-idempotency-1.lua')

/** Without an answer it is a claim: the first request is still being answered. */
interface StoredAnswer { readonly request: Digest, readonly answer: string | null }

export async function reserveIdempotency (redis: Redis, tenant: string, key: string, request: Digest): Promise<string | null> {
  const [outcome, json] = await RESERVE.run(redis, [recordKey(tenant, key)], [claim(request), CLAIM_S])
  if (outcome === 'reserved' || json === undefined) return null
  const stored = decodeRecord<StoredAnswer>('an idempotent answer', json)
  if (stored.request !== request) throw new ServiceError('idempotency_conflict', 'this Idempotency-Key was used with another request', { param: 'idempotency-key' })
  if (stored.answer === null) throw new ServiceError('idempotency_conflict', 'the first request with this Idempotency-Key is still being answered', { param: 'idempotency-key', retryAfter: 1 })
  return stored.answer
}

export async function storeIdempotent (redis: Redis, tenant: string, key: string, request: Digest, answer: string): Promise<void> {
  await redis.set(recordKey(tenant, key), encodeRecord({ request, answer } satisfies StoredAnswer), 'EX', ANSWER_S)
}

export async function releaseIdempotency (redis: Redis, tenant: string, key: string, request: Digest): Promise<void> {
  await RELEASE.run(redis, [recordKey(tenant, key)], [claim(request)])
}

function claim (request: Digest): string {
  return encodeRecord({ request, answer: null } satisfies StoredAnswer)
}

/** Hashed: the client chose the key, its length and its characters. */
function recordKey (tenant: string, key: string): string {
  return idempotencyKey(tenant, createHash('sha256').update(key).digest('hex'))
}
