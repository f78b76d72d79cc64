import type { ChildProcess } from 'node:child_process'
import { setTimeout as sleep } from 'node:timers/promises'
import { Backoff } from './backoff.js'

/** One kind of process: how it is started, when it counts as ready, how it is asked to end. */
export interface ProcessPlan {
  readonly name: string
  spawn (): ChildProcess
  /** Resolves when the process does its work; the signal fires when it ended first. */
  ready (child: ChildProcess, signal: AbortSignal): Promise<void>
  askToEnd (child: ChildProcess): void
  /** After this many milliseconds a process that was asked to end is killed. */
  readonly graceMs: number
  /** Where its output is, for the message when it does not start. */
  readonly log: string
}

/** Keeps one process running: whatever ends without being asked is started again. */
export class SupervisedProcess {
  readonly name: string
  readonly #plan: ProcessPlan
  readonly #say: (line: string) => void
  readonly #backoff = new Backoff()
  readonly #stopping = new AbortController()
  #child: ChildProcess | null = null
  #startedAt = 0

  constructor (plan: ProcessPlan, say: (line: string) => void) {
    this.name = plan.name
    this.#plan = plan
    this.#say = say
  }

  get pid (): number | undefined { return this.#child?.pid }

  /**
   * Resolves when the process is ready for the first time.
   * @throws Error when it ends before that: a wrong setting does not heal by repeating it.
   */
  async start (): Promise<void> {
    await this.#launch()
  }

  /** Ask the process to end and wait until it is gone; no restart follows. */
  async stop (): Promise<void> {
    this.#stopping.abort()
    const child = this.#child
    if (child === null) return
    const gone = ended(child)
    this.#plan.askToEnd(child)
    const late = setTimeout(() => {
      this.#say(`${this.name} did not end within ${this.#plan.graceMs / 1000} s; killing it`)
      child.kill('SIGKILL')
    }, this.#plan.graceMs)
    await gone
    clearTimeout(late)
  }

  async #launch (): Promise<void> {
    this.#startedAt = performance.now()
    const child = this.#plan.spawn()
    this.#child = child
    let ready = false
    const dead = new AbortController()
    const gone = ended(child).then(how => {
      this.#child = null
      dead.abort()
      if (ready && !this.#stopping.signal.aborted) void this.#restart(how)
      return how
    })
    const failed = gone.then(how => {
      if (!ready) throw new Error(`${this.name} ended before it was ready (${how}); its output is in ${this.#plan.log}`)
    })
    // When readiness wins the race, a later end is handled above and not by this promise.
    failed.catch(() => {})
    await Promise.race([failed, this.#plan.ready(child, dead.signal)])
    if (!dead.signal.aborted) ready = true
    else await failed
  }

  async #restart (how: string): Promise<void> {
    const started = performance.now()
    while (!this.#stopping.signal.aborted) {
      const wait = this.#backoff.next(performance.now() - this.#startedAt)
      this.#say(`${this.name} ended (${how}); starting it again in ${wait} ms, its output is in ${this.#plan.log}`)
      try {
        await sleep(wait, undefined, { signal: this.#stopping.signal })
        await this.#launch()
        this.#say(`${this.name} is back after ${((performance.now() - started) / 1000).toFixed(1)} s`)
        return
      } catch (error) {
        if (this.#stopping.signal.aborted) return
        how = (error as Error).message
      }
    }
  }
}

/** Resolves with how the process ended, in words; also when it could not be started at all. */
function ended (child: ChildProcess): Promise<string> {
  return new Promise(resolve => {
    if (child.exitCode !== null || child.signalCode !== null) resolve(howItEnded(child.exitCode, child.signalCode))
    child.once('exit', (code, signal) => resolve(howItEnded(code, signal)))
    child.once('error', error => { if (child.pid === undefined) resolve(error.message) })
  })
}

function howItEnded (code: number | null, signal: NodeJS.Signals | null): string {
  return signal === null ? `exit code ${code ?? 0}` : signal
}
