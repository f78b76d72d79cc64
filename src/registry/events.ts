import type { Redis } from 'ioredis'
import { EVENTS_CHANNEL } from './redis-keys.js'
import type { RegistryEvent } from './registry.js'

/** For scripts, which publish together with what they write. */
export function eventMessage (event: RegistryEvent): string {
  return JSON.stringify(event)
}

export async function publishEvent (redis: Redis, event: RegistryEvent): Promise<void> {
  await redis.publish(EVENTS_CHANNEL, eventMessage(event))
}

type Listener = (event: RegistryEvent) => void

/** Delivers the channel's events to any number of listeners over one connection, which subscribes again after each loss. */
export class EventSubscription {
  readonly #redis: Redis
  readonly #listeners = new Set<Listener>()

  /** @param redis a connection of its own: a subscribed one can do nothing else */
  constructor (redis: Redis, onError: (error: Error) => void) {
    this.#redis = redis
    redis.on('message', (_channel, message) => {
      const event = JSON.parse(message) as RegistryEvent
      for (const listener of this.#listeners) {
        try {
          listener(event)
        } catch (error) {
          // One listener's fault must not keep the event from the others.
          onError(error instanceof Error ? error : new Error(String(error)))
        }
      }
    })
  }

  async start (): Promise<void> {
    await this.#redis.subscribe(EVENTS_CHANNEL)
  }

  /** @returns a function that ends the delivery */
  on (listener: Listener): () => void {
    // Wrapped, so that the same function given twice is two listeners and each ends alone.
    const own: Listener = event => listener(event)
    this.#listeners.add(own)
    return () => { this.#listeners.delete(own) }
  }

  close (): void {
    this.#listeners.clear()
    this.#redis.disconnect()
  }
}
