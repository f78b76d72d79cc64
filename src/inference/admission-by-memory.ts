/** Whose prompt may be in use: as long as all of them together fit, and fairly. Plain data and a function over it. */
import type { Digest } from '../digest.js'
import { ServiceError } from '../errors.js'
import { retryAfter } from './admission.js'

/** A request that has not started needs a prefix, which is in memory or on its way there. */
export interface Hold {
  readonly key: Digest
  readonly bytes: number
  /** Of the request. */
  readonly arrival: number
  readonly tenant: string
}

export interface PromptMemory {
  /** Bytes of all that is held; a prefix that several requests hold counts once. */
  readonly limit: number
  /** Rows that can run at once. */
  readonly slots: number
  readonly holds: Set<Hold>
}

/**
 * Hold a prefix until `holds` loses it again.
 *
 * What is held by others already takes no more memory. Else a tenant's other requests may hold as much as stays free: one
 * tenant alone gets to half of the limit N, k that ask in turn to N / (k + 1) each, and as much is left for one more (the
 * dynamic thresholds of Choudhury and Hahne, 1998). A request alone is let in however much it needs.
 * @throws ServiceError `saturated`
 */
export function hold ({ limit, slots, holds }: PromptMemory, wanted: Hold): void {
  const held = new Set<Digest>()
  const ofTenant = new Set<Digest>()
  const requests = new Set<number>()
  let total = 0
  let own = 0
  for (const { key, bytes, arrival, tenant } of holds) {
    if (arrival === wanted.arrival) continue
    requests.add(arrival)
    if (!held.has(key)) total += bytes
    held.add(key)
    if (tenant !== wanted.tenant) continue
    if (!ofTenant.has(key)) own += bytes
    ofTenant.add(key)
  }
  if (!held.has(wanted.key) && requests.size > 0) {
    const needed = new Map([[wanted.key, wanted.bytes]])
    for (const { key, bytes, arrival } of holds) if (arrival === wanted.arrival && !held.has(key)) needed.set(key, bytes)
    let more = 0
    for (const bytes of needed.values()) more += bytes
    if (total + own + more > limit) {
      throw new ServiceError('saturated', `prompts of ${requests.size} requests that wait take ${total} bytes, ${own} of this tenant, and this one ${more} more, limit ${limit}`, { retryAfter: retryAfter(requests.size, slots) })
    }
  }
  holds.add(wanted)
}

/** Bytes of what is held. */
export function bytesHeld ({ holds }: PromptMemory): number {
  const sizes = new Map<Digest, number>()
  for (const { key, bytes } of holds) sizes.set(key, bytes)
  let total = 0
  for (const bytes of sizes.values()) total += bytes
  return total
}
