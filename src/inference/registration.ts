import type { Redis } from 'ioredis'
import { setTimeout as sleep } from 'node:timers/promises'
import { announceReplica, HEARTBEAT_MS, removeReplica } from '../registry/replicas.js'

/** Redis forgets a process by itself too; a stop does not wait for it. */
const REMOVAL_MS = 1000

export interface RegistrationOptions {
  /** Of this process. */
  readonly id: string
  /** Where the apis find it. @param localAddress that of its connection to Redis, which may be another after a loss; undefined for a socket */
  readonly url: (localAddress: string | undefined) => string
  /** Heard at each change: the url under which Redis knows this process; null: it does not, and is told again in the background. */
  readonly onChange: (url: string | null) => void
}

/** Tells the apis where this process is, by a heartbeat in Redis. Those that know it already need none to reach it. */
export class Registration {
  readonly #redis: Redis
  readonly #options: RegistrationOptions
  readonly #timer: NodeJS.Timeout
  #beating: Promise<void> | null = null
  #url: string | null = null
  #ended = false

  /** @param redis a connection whose commands fail while Redis is away: a late heartbeat says what is no longer so */
  constructor (redis: Redis, options: RegistrationOptions) {
    this.#redis = redis
    this.#options = options
    this.#timer = setInterval(this.#beat, HEARTBEAT_MS)
    redis.on('ready', this.#beat)
    this.#beat()
  }

  get registered (): boolean { return this.#url !== null }

  /** The apis send no more from here on, but for what is on its way. */
  async end (): Promise<void> {
    this.#ended = true
    clearInterval(this.#timer)
    this.#redis.off('ready', this.#beat)
    const removal = (this.#beating ?? Promise.resolve()).then(() => removeReplica(this.#redis, this.#options.id)).catch(() => {})
    await Promise.race([removal, sleep(REMOVAL_MS, undefined, { ref: false })])
  }

  readonly #beat = (): void => {
    this.#beating ??= this.#announce().then(url => this.#is(url), () => this.#is(null)).finally(() => { this.#beating = null })
  }

  async #announce (): Promise<string> {
    const { id, url } = this.#options
    const current = url(this.#redis.stream.localAddress)
    await announceReplica(this.#redis, { id, url: current })
    return current
  }

  #is (url: string | null): void {
    if (this.#url === url || this.#ended) return
    this.#url = url
    this.#options.onChange(url)
  }
}
