import { Redis } from 'ioredis'
import type { Digest } from '../digest.js'
import { EVENTS_CHANNEL } from '../registry/redis-keys.js'
import type { RegistryEvent } from '../registry/registry.js'

/**
 * Tell `onVersion` of every version as it is published. A convenience: requests load what they need themselves, so
 * Redis may be away, now or later.
 * @param onState true: subscribed; false: lost, and tried again in the background
 * @returns a function that ends it
 */
export function followPublishedVersions (url: string, onVersion: (digest: Digest) => void, onState: (connected: boolean) => void): () => void {
  const redis = new Redis(url, { maxRetriesPerRequest: null, retryStrategy: attempt => Math.min(attempt * 200, 5000) })
  let connected: boolean | null = null
  const report = (now: boolean): void => {
    if (connected === now) return
    connected = now
    onState(now)
  }
  // Without a listener an unreachable server would end the process.
  redis.on('error', () => report(false))
  redis.on('close', () => report(false))
  redis.on('message', (_channel: string, message: string) => {
    const event = JSON.parse(message) as RegistryEvent
    if (event.type === 'version') onVersion(event.digest)
  })
  redis.subscribe(EVENTS_CHANNEL).then(() => report(true), () => report(false))
  return () => redis.disconnect()
}
