/** Requests that run at the same time: who arrives when, for whom, and who hangs up. */
import { setImmediate as turn } from 'node:timers/promises'
import { ServiceError } from '../../src/errors.js'
import type { SequenceEvent, SequenceRequest } from '../../src/inference/protocol.js'
import type { RunningService } from '../../src/inference/start-service.js'
import { submit } from './tiny-service.js'

/** More turns of the event loop than this never lie between two arrivals. */
const MAX_TURNS = 3
/** The most events of another request that an arrival or a hang-up waits for. */
const MAX_EVENTS = 6
/** They are served in turn, so who asks changes the order of steps. */
const TENANTS = ['a', 'b', 'c']
/** In every second company nearly all are of one tenant, whose rows give way to the others': they change places, leave and come back. */
const OTHERS_EVERY = 8

/** Random whole number from 0 to under `limit`. */
export type Below = (limit: number) => number

/** Tells those who wait for an event of a request. */
class Heard {
  #events = 0
  #ended = false
  readonly #waiting: Array<{ readonly event: number, readonly tell: () => void }> = []

  hear (last: boolean): void {
    this.#events++
    this.#ended ||= last
    for (const { event, tell } of this.#waiting) if (this.#has(event)) tell()
  }

  /** At this event of the request, counted from 1, or at its last one. */
  async at (event: number): Promise<void> {
    if (!this.#has(event)) await new Promise<void>(tell => { this.#waiting.push({ event, tell }) })
  }

  #has (event: number): boolean {
    return this.#ended || this.#events >= event
  }
}

export class Company {
  readonly #service: RunningService
  readonly #below: Below
  readonly #isFlooded: boolean
  /** Of those that run to their end. */
  readonly #heard: Heard[] = []
  readonly #leaving: Array<Promise<void>> = []

  constructor (service: RunningService, below: Below) {
    this.#service = service
    this.#below = below
    this.#isFlooded = below(2) === 0
  }

  /** All events of it. */
  async send (request: SequenceRequest): Promise<readonly SequenceEvent[]> {
    const heard = new Heard()
    this.#heard.push(heard)
    const { done } = await this.#submit(request, heard)
    return await done
  }

  /** Hangs up now, at a later moment, or at one of its own events. */
  sendAndHangUp (request: SequenceRequest): void {
    const heard = new Heard()
    const hangUp = new AbortController()
    const when = this.#below(3)
    const sent = this.#submit(request, heard, hangUp.signal).catch((error: unknown) => { if (!hangUp.signal.aborted) throw error })
    const leave = async (): Promise<void> => {
      if (when === 1) await this.moment()
      if (when === 2) await heard.at(1 + this.#below(MAX_EVENTS))
      hangUp.abort()
      await sent
    }
    this.#leaving.push(leave())
  }

  /** Now, some turns of the event loop later, or at an event of a request that has been sent. */
  async moment (): Promise<void> {
    const kind = this.#below(3)
    if (kind === 1) for (let turns = this.#below(MAX_TURNS + 1); turns > 0; turns--) await turn()
    if (kind === 2 && this.#heard.length > 0) await this.#heard[this.#below(this.#heard.length)]!.at(1 + this.#below(MAX_EVENTS))
  }

  /** How many hung up, when all have. */
  async gone (): Promise<number> {
    return (await Promise.all(this.#leaving)).length
  }

  async #submit (request: SequenceRequest, heard: Heard, signal?: AbortSignal): ReturnType<typeof submit> {
    const tenant = this.#isFlooded && this.#below(OTHERS_EVERY) > 0 ? TENANTS[0]! : TENANTS[this.#below(TENANTS.length)]!
    for (;;) {
      try {
        return await submit(this.#service, { ...request, tenant }, signal, ({ type }) => heard.hear(type !== 'token'))
      } catch (error) {
        // Prompts of the others take all memory: it comes back, as a client does.
        if (signal?.aborted === true || !(error instanceof ServiceError && error.code === 'saturated')) throw error
        for (let turns = 1 + this.#below(MAX_TURNS); turns > 0; turns--) await turn()
      }
    }
  }
}
