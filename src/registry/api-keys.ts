/**
 * API keys. A secret is 256 random bits and only its SHA-256 is kept. Finding a key is a lookup by that hash and not a
 * comparison of secrets, so there is nothing to compare in constant time: who can choose the secret cannot choose its
 * hash, and a plain hash is enough because random 256 bits cannot be searched.
 */
import { createHash, randomBytes } from 'node:crypto'
import type { Redis } from 'ioredis'
import { API_KEY } from '../config.js'
import { ServiceError } from '../errors.js'
import { publishEvent } from './events.js'
import { LuaScript } from './lua-script.js'
import { apiKeysKey, lastRevocationKey, secretKey, TENANTS } from './redis-keys.js'
import type { KeyRecord, KeyState, NewKey, Scope } from './registry.js'
import { decodeRecord, encodeRecord } from './stored-record.js'

const CREATE_FIRST_KEY = new LuaScript('create-first-key-3.lua')

/** What the tenant's own list keeps: the hash too, so that a key can be revoked by its id. */
interface ListedKey extends KeyRecord { readonly sha256: string }

export function newSecret (): string {
  return `pf_${randomBytes(32).toString('base64url')}`
}

export async function createKey (redis: Redis, tenant: string, name: string, scopes: readonly Scope[]): Promise<NewKey> {
  const secret = newSecret()
  const key = newRecord(tenant, name, scopes)
  const sha256 = hashOf(secret)
  // Listed before it works: whatever happens in between, every key that works can be revoked.
  await redis.hset(apiKeysKey(tenant), key.id, encodeRecord({ ...key, sha256 } satisfies ListedKey))
  await redis.sadd(TENANTS, tenant)
  await redis.set(secretKey(sha256), encodeRecord(key))
  return { ...key, secret }
}

export async function keyState (redis: Redis, tenant: string): Promise<KeyState> {
  if (await redis.exists(apiKeysKey(tenant)) > 0) return 'some'
  return await redis.exists(lastRevocationKey(tenant)) > 0 ? 'revoked' : 'never'
}

export async function createFirstKey (redis: Redis, tenant: string, name: string, scopes: readonly Scope[], secret: string): Promise<KeyRecord | null> {
  if (!API_KEY.test(secret)) throw new Error('internal: the first key is none')
  const key = newRecord(tenant, name, scopes)
  const sha256 = hashOf(secret)
  await redis.sadd(TENANTS, tenant)
  const [outcome] = await CREATE_FIRST_KEY.run(redis, [apiKeysKey(tenant), lastRevocationKey(tenant), secretKey(sha256)], [
    key.id, encodeRecord({ ...key, sha256 } satisfies ListedKey), encodeRecord(key)
  ])
  return outcome === 'ok' ? key : null
}

export async function findKey (redis: Redis, secret: string): Promise<KeyRecord | null> {
  if (!API_KEY.test(secret)) return null
  const json = await redis.get(secretKey(hashOf(secret)))
  return json === null ? null : decodeRecord<KeyRecord>('an API key', json)
}

export async function listKeys (redis: Redis, tenant: string): Promise<KeyRecord[]> {
  const records = await redis.hgetall(apiKeysKey(tenant))
  return Object.entries(records)
    .map(([id, json]) => {
      const { sha256: _, ...key } = decodeRecord<ListedKey>(`key ${id}`, json)
      return key
    })
    .sort((a, b) => a.createdAt < b.createdAt ? -1 : 1)
}

export async function revokeKey (redis: Redis, tenant: string, id: string): Promise<void> {
  const json = await redis.hget(apiKeysKey(tenant), id)
  if (json === null) throw new ServiceError('key_not_found', `there is no key ${id}`, { param: 'key' })
  const { sha256 } = decodeRecord<ListedKey>(`key ${id}`, json)
  await redis.set(lastRevocationKey(tenant), encodeRecord({ at: new Date().toISOString() }))
  await redis.del(secretKey(sha256))
  await redis.hdel(apiKeysKey(tenant), id)
  await publishEvent(redis, { type: 'key', tenant, id })
}

function newRecord (tenant: string, name: string, scopes: readonly Scope[]): KeyRecord {
  return { id: `key_${randomBytes(12).toString('base64url')}`, tenant, name, scopes, createdAt: new Date().toISOString() }
}

function hashOf (secret: string): string {
  return createHash('sha256').update(secret).digest('hex')
}
