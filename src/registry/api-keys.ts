/**
 * API keys. A secret is 256 random bits and only its SHA-256 is kept. Finding a key is a lookup by that hash and not a
 * comparison of secrets, so there is nothing to compare in constant time: who can choose the secret cannot choose its
 * hash, and a plain hash is enough because random 256 bits cannot be searched.
 */
import { createHash, randomBytes } from 'node:crypto'
import type { Redis } from 'ioredis'
import { ServiceError } from '../errors.js'
import { publishEvent } from './events.js'
import { apiKeysKey, secretKey, TENANTS } from './redis-keys.js'
import type { KeyRecord, NewKey, Scope } from './registry.js'
import { decodeRecord, encodeRecord } from './stored-record.js'

const SECRET = /^pf_[A-Za-z0-9_-]{43}$/

/** What the tenant's own list keeps: the hash too, so that a key can be revoked by its id. */
interface ListedKey extends KeyRecord { readonly sha256: string }

export async function createKey (redis: Redis, tenant: string, name: string, scopes: readonly Scope[]): Promise<NewKey> {
  const secret = `pf_${randomBytes(32).toString('base64url')}`
  const key: KeyRecord = { id: `key_${randomBytes(12).toString('base64url')}`, tenant, name, scopes, createdAt: new Date().toISOString() }
  const sha256 = hashOf(secret)
  // Listed before it works: whatever happens in between, every key that works can be revoked.
  await redis.hset(apiKeysKey(tenant), key.id, encodeRecord({ ...key, sha256 } satisfies ListedKey))
  await redis.sadd(TENANTS, tenant)
  await redis.set(secretKey(sha256), encodeRecord(key))
  return { ...key, secret }
}

export async function findKey (redis: Redis, secret: string): Promise<KeyRecord | null> {
  if (!SECRET.test(secret)) return null
  const json = await redis.get(secretKey(hashOf(secret)))
  return json === null ? null : decodeRecord<KeyRecord>('an API key', json)
}

export async function listKeys (redis: Redis, tenant: string): Promise<KeyRecord[]> {
  const records = await redis.hvals(apiKeysKey(tenant))
  return records
    .map(json => {
      const { sha256: _, ...key } = decodeRecord<ListedKey>('an API key', json)
      return key
    })
    .sort((a, b) => a.createdAt < b.createdAt ? -1 : 1)
}

export async function revokeKey (redis: Redis, tenant: string, id: string): Promise<void> {
  const json = await redis.hget(apiKeysKey(tenant), id)
  if (json === null) throw new ServiceError('key_not_found', `there is no key ${id}`, { param: 'key' })
  await redis.del(secretKey(decodeRecord<ListedKey>(`key ${id}`, json).sha256))
  await redis.hdel(apiKeysKey(tenant), id)
  await publishEvent(redis, { type: 'key', tenant, id })
}

function hashOf (secret: string): string {
  return createHash('sha256').update(secret).digest('hex')
}
