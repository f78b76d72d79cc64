/** Requests to a whole service: as they come, whether it is done with the last one or not; or as many at once as clients wait. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { ApiClient } from '../../src/cli/api-client.js'
import { seededNumbers } from '../../test/support/numbers.js'
import type { InferCall } from './requests.js'

export interface OpenTraffic { readonly perSecond: number, readonly seconds: number, readonly seed: number }

/**
 * Arrivals of a Poisson process. A request's time begins when it was due: that the sender is late counts too.
 * @returns milliseconds from due to answered, of each request in the order of arrival
 * @throws ApiError of the first one that is refused
 */
export async function openTraffic (client: ApiClient, calls: (index: number) => InferCall, { perSecond, seconds, seed }: OpenTraffic): Promise<number[]> {
  const arrivals = poissonArrivals(perSecond, seconds, seed)
  const begun = performance.now()
  return await Promise.all(arrivals.map(async (due, index) => {
    await sleep(Math.max(0, begun + due - performance.now()))
    const { path, body } = calls(index)
    await client.post(path, body)
    return performance.now() - begun - due
  }))
}

/** Milliseconds from the beginning, ascending. */
export function poissonArrivals (perSecond: number, seconds: number, seed: number): number[] {
  const random = seededNumbers(seed)
  const arrivals: number[] = []
  for (let at = 0; ;) {
    at -= Math.log((1 - random()) / 2) * 1000 / perSecond
    if (at >= 1000 * seconds) return arrivals
    arrivals.push(at)
  }
}

/**
 * Clients that each send the next request when they have their answer, until `signal` fires.
 * @returns how many were answered
 * @throws ApiError of the first one that is refused
 */
export async function closedTraffic (client: ApiClient, calls: (index: number) => InferCall, clients: number, signal: AbortSignal): Promise<number> {
  let next = 0
  let answered = 0
  await Promise.all(Array.from({ length: clients }, async () => {
    while (!signal.aborted) {
      const { path, body } = calls(next++)
      await client.post(path, body)
      if (!signal.aborted) answered++
    }
  }))
  return answered
}
