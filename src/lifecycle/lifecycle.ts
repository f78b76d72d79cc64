/** Where a process stands between its start and its stop: it waits for something, is ready, or stops. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Logger } from 'pino'
import { collectDefaultMetrics, Registry as MetricsRegistry } from 'prom-client'
import { NotYetError, ServiceError } from '../errors.js'

export type Role = 'api' | 'inference' | 'worker'

export type Readiness =
  | { readonly status: 'ready', readonly role: Role }
  | { readonly status: 'waiting', readonly for: string }
  | { readonly status: 'stopping' }

/** What a process that was ready lacks again: `Redis at redis:6379`; null: nothing. */
export type Lacks = () => string | null

/** Told to stop before it was ready: no failure. */
export class StoppedError extends Error { override readonly name = 'StoppedError' }

const STARTING: Lacks = () => 'its own start'

const FIRST_DELAY_MS = 50
const MAX_DELAY_MS = 1_000
const SAY_AGAIN_MS = 10_000

export class Lifecycle {
  /** Fires when the process is told to stop, with a `StoppedError`. */
  readonly signal: AbortSignal
  /** Resolves at the same moment. */
  readonly stopping: Promise<void>
  /** The metrics of this process: Node's own, and what its role adds. */
  readonly metrics = new MetricsRegistry()
  readonly #role: Role
  readonly #logger: Logger
  #lacks: Lacks = STARTING

  /** @param signal the stop signal */
  constructor (role: Role, logger: Logger, signal: AbortSignal) {
    this.#role = role
    this.#logger = logger
    this.signal = signal
    this.stopping = new Promise(resolve => { signal.addEventListener('abort', () => resolve(), { once: true }) })
    collectDefaultMetrics({ register: this.metrics })
  }

  /**
   * Attempts until one succeeds, while they fail in a way that passes by itself: `NotYetError`, or a `ServiceError` that
   * says when to try again. What an attempt still opens when the process is told to stop is left to the process's end.
   * @param what for log and `/readyz`: `Redis at redis:6379`
   * @throws StoppedError when told to stop; any other error of an attempt at once
   */
  async waitFor<Value> (what: string, attempt: () => Promise<Value>): Promise<Value> {
    this.#lacks = () => what
    let saidAt = -Infinity
    for (let delay = FIRST_DELAY_MS; ; delay = Math.min(2 * delay, MAX_DELAY_MS)) {
      try {
        const value = await this.#unlessStopped(attempt())
        this.#lacks = STARTING
        if (saidAt !== -Infinity) this.#logger.info(`no longer waiting for ${what}`)
        return value
      } catch (error) {
        if (!passes(error)) throw error
        if (performance.now() - saidAt >= SAY_AGAIN_MS) {
          this.#logger.warn({ reason: reasonOf(error) }, `waiting for ${what}`)
          saidAt = performance.now()
        }
        await this.#unlessStopped(sleep(delay))
      }
    }
  }

  /** The process does its work from here on. @param lacks asked at each `/readyz` */
  ready (lacks: Lacks = () => null): void {
    this.#lacks = lacks
  }

  get readiness (): Readiness {
    if (this.signal.aborted) return { status: 'stopping' }
    const lack = this.#lacks()
    return lack === null ? { status: 'ready', role: this.#role } : { status: 'waiting', for: lack }
  }

  async #unlessStopped<Value> (work: Promise<Value>): Promise<Value> {
    const stopped = this.stopping.then(() => { throw this.signal.reason })
    return await Promise.race([stopped, work])
  }
}

function passes (error: unknown): error is Error {
  return error instanceof NotYetError || (error instanceof ServiceError && error.retryAfter !== undefined)
}

/** What lies under it says more: `connect ECONNREFUSED 127.0.0.1:6379`. */
function reasonOf ({ message, cause }: Error): string {
  return cause instanceof Error ? cause.message : message
}
