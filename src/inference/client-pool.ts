/**
 * Any number of inference processes as one: chooses who answers, and goes on with another when that one is gone, going,
 * starting or full. What they are is asked of themselves each second; the source says only where they are.
 */
import type { Digest } from '../digest.js'
import { ServiceError } from '../errors.js'
import { chooseReplica } from './choose-replica.js'
import { PassedOn } from './client-answer.js'
import { ReplicaFailure } from './client.js'
import type { InferenceClient, ReplicaStatus } from './client-contract.js'
import { Replica, type ReplicaOptions, type ReplicaState } from './client-replica.js'
import type { ReplicaSource } from './client-replicas-source.js'
import type { SequenceEvent, SequenceRequest } from './protocol.js'

const ASK_EVERY_MS = 1000
/** Processes that may end with one request in them before it is given up: it may be what ends them. */
const MAX_BROKEN = 2

export class InferencePool implements InferenceClient {
  readonly #source: ReplicaSource
  readonly #options: ReplicaOptions
  readonly #replicas = new Map<string, Replica>()
  readonly #timer: NodeJS.Timeout
  readonly #unsubscribe: () => void
  #listed: ReadonlySet<string> = new Set()
  #listing: Promise<void> = Promise.resolve()
  #nextListing: Promise<void> | null = null
  #sourceAnswers = true

  private constructor (source: ReplicaSource, options: ReplicaOptions) {
    this.#source = source
    this.#options = options
    this.#timer = setInterval(() => void this.#refresh(), ASK_EVERY_MS)
    this.#unsubscribe = source.onChange(() => void this.#refresh())
  }

  /** Resolves when those that are there have been asked; there may be none yet. */
  static async open (source: ReplicaSource, options: ReplicaOptions): Promise<InferencePool> {
    const pool = new InferencePool(source, options)
    await pool.#refresh()
    return pool
  }

  async * run (request: SequenceRequest, signal: AbortSignal): AsyncGenerator<SequenceEvent> {
    const answer = new PassedOn()
    // By process and not by address: what comes up where another one ended is a new chance.
    const tried = new Set<string>()
    let broken = 0
    let reason: ServiceError | null = null
    for (;;) {
      const replica = this.#take(request.prompt, tried) ?? (reason?.code === 'saturated' ? null : await this.#takeLate(request.prompt, tried))
      if (replica === null) throw reason ?? new ServiceError('inference_unavailable', 'no inference process answers', { retryAfter: 2 })
      const id = replica.id!
      const before = answer.tokens
      tried.add(id)
      answer.begin()
      try {
        signal.throwIfAborted()
        for await (const event of replica.run(request, signal)) {
          const fresh = answer.filter(event)
          if (fresh === null) continue
          yield fresh
          if (fresh.type !== 'token') return
        }
      } catch (error) {
        if (!(error instanceof ReplicaFailure)) throw error
        if (answer.tokens > before) {
          // It was not the request that ended the others.
          broken = 0
          tried.clear()
          tried.add(id)
        }
        if (error.how === 'broke' && ++broken === MAX_BROKEN) throw error
        // That one is full says more than that another one is gone.
        if (reason?.code !== 'saturated') reason = error
      } finally {
        replica.release()
      }
    }
  }

  replicas (): readonly ReplicaStatus[] {
    return [...this.#replicas.values()].filter(({ state }) => state !== 'unfit').map(({ url, status }) => ({ url, status }))
  }

  async close (): Promise<void> {
    clearInterval(this.#timer)
    this.#unsubscribe()
    for (const replica of this.#replicas.values()) replica.close()
  }

  #take (prompt: Digest | null, tried: ReadonlySet<string>, states: readonly ReplicaState[] = ['ready']): Replica | null {
    const replica = chooseReplica(this.#candidates(states).filter(({ id }) => !tried.has(id!)), prompt)
    replica?.take()
    return replica
  }

  /** When nobody is left of those known: look again, and if nobody has been tried, try those that seem to take nothing. */
  async #takeLate (prompt: Digest | null, tried: ReadonlySet<string>): Promise<Replica | null> {
    await this.#refresh()
    return this.#take(prompt, tried) ?? (tried.size === 0 ? this.#take(prompt, tried, ['resting', 'silent']) : null)
  }

  /** Resolves when everybody that is there now has been asked, or has not answered in time. */
  async #refresh (): Promise<void> {
    // Whoever comes while one listing runs shares the next, which sees all that has happened until now.
    this.#nextListing ??= this.#listing.then(() => {
      this.#nextListing = null
      return this.#listing = this.#list()
    })
    await this.#nextListing
    await Promise.all([...this.#replicas.values()].map(async replica => {
      await replica.ask()
      if (!this.#listed.has(replica.url) && replica.state !== 'ready' && replica.state !== 'resting') {
        replica.close()
        this.#replicas.delete(replica.url)
      } else if (replica.hangs && this.#candidates(['ready']).length > 0) {
        replica.breakOff()
      }
    }))
  }

  #candidates (states: readonly ReplicaState[]): Replica[] {
    return [...this.#replicas.values()].filter(({ id, state }) => id !== null && states.includes(state))
  }

  async #list (): Promise<void> {
    const { logger } = this.#options
    try {
      this.#listed = new Set(await this.#source.urls())
      for (const url of this.#listed) {
        if (!this.#replicas.has(url)) this.#replicas.set(url, new Replica(url, this.#options))
      }
      this.#sourceAnswers = true
    } catch (error) {
      if (this.#sourceAnswers) logger.warn({ err: error }, 'nobody says which inference processes there are: those known stay in use')
      this.#sourceAnswers = false
    }
  }
}
