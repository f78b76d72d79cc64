/** What an operator has said of a tenant. No API key reaches it: a tenant does not choose its own share. */
import type { Redis } from 'ioredis'
import { ServiceError } from '../errors.js'
import { checkTenant } from './names.js'
import { tenantWeightKey, TENANTS } from './redis-keys.js'
import { decodeRecord, encodeRecord } from './stored-record.js'

/** A hundredth and a hundredfold of the usual share. */
const MIN_WEIGHT = 0.01
const MAX_WEIGHT = 100
const USUAL_WEIGHT = 1

export async function tenantWeight (redis: Redis, tenant: string): Promise<number> {
  const json = await redis.get(tenantWeightKey(tenant))
  return json === null ? USUAL_WEIGHT : decodeRecord<{ readonly weight: number }>('the weight of a tenant', json).weight
}

export async function setTenantWeight (redis: Redis, tenant: string, weight: number): Promise<void> {
  checkTenant(tenant)
  if (!(weight >= MIN_WEIGHT && weight <= MAX_WEIGHT)) throw new ServiceError('invalid_request', `weight ${weight}, from ${MIN_WEIGHT} to ${MAX_WEIGHT}`, { param: 'weight' })
  if (await redis.sismember(TENANTS, tenant) === 0) throw new ServiceError('invalid_request', `there is no tenant ${tenant}; its first key makes it`, { param: 'tenant' })
  await redis.set(tenantWeightKey(tenant), encodeRecord({ weight }))
}
