/** Requests that arrive at their own times, whatever became of those before. */
import { setMaxListeners } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { ServiceError } from '../../src/errors.js'
import type { SequenceRequest } from '../../src/inference/protocol.js'
import type { RunningService } from '../../src/inference/start-service.js'
import { submit } from '../../test/inference/tiny-service.js'
import { BenchFailure } from '../failure.js'

export interface Arrival {
  /** Milliseconds since the start. */
  readonly at: number
  readonly request: SequenceRequest
  /** It is cut off when the measurement is over; the others are waited for. */
  readonly isFlood: boolean
}

/** Milliseconds since the start; null: refused, or not there yet when it was over. */
export interface Outcome extends Arrival { readonly first: number | null, readonly ended: number | null }

/**
 * @param arrivals in order
 * @param until milliseconds since the start
 * @throws BenchFailure when one fails otherwise than by a full queue
 */
export async function openTraffic (service: RunningService, arrivals: readonly Arrival[], until: number): Promise<Outcome[]> {
  const begun = performance.now()
  const since = (): number => performance.now() - begun
  const floodOver = new AbortController()
  setMaxListeners(0, floodOver.signal)
  const outcomes: Array<Promise<Outcome>> = []
  for (const arrival of arrivals) {
    const wait = arrival.at - since()
    if (wait > 0) await sleep(wait)
    outcomes.push(outcomeOf(arrival))
  }
  await sleep(Math.max(0, until - since()))
  floodOver.abort()
  return await Promise.all(outcomes)

  async function outcomeOf (arrival: Arrival): Promise<Outcome> {
    let first: number | null = null
    const { request, isFlood } = arrival
    try {
      const { done } = await submit(service, request, isFlood ? floodOver.signal : undefined, () => { first ??= since() })
      const over = new Promise<null>(resolve => { if (isFlood) floodOver.signal.addEventListener('abort', () => resolve(null), { once: true }) })
      const last = (await Promise.race([done, over]))?.at(-1)
      if (last?.type === 'failed') throw new BenchFailure(`${last.code}: ${last.message}`)
      return { ...arrival, first, ended: last === undefined ? null : since() }
    } catch (error) {
      if (error instanceof ServiceError && error.code === 'saturated') return { ...arrival, first: null, ended: null }
      throw error
    }
  }
}
