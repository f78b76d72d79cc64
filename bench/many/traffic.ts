/** Requests as clients send them that each wait for their answer. */
import type { SequenceRequest } from '../../src/inference/protocol.js'
import type { RunningService } from '../../src/inference/start-service.js'
import { submit } from '../../test/inference/tiny-service.js'
import { BenchFailure } from '../failure.js'

export interface Traffic {
  readonly seconds: number
  /** Milliseconds from request to last event, of each request. */
  readonly latencies: readonly number[]
}

/** @param clients how many requests are under way at once. @throws BenchFailure when one fails */
export async function traffic (service: RunningService, requests: readonly SequenceRequest[], clients: number): Promise<Traffic> {
  const waiting = requests.values()
  const latencies: number[] = []
  const begun = performance.now()
  await Promise.all(Array.from({ length: clients }, async () => {
    // All clients take from the same iterator.
    for (const request of waiting) {
      const from = performance.now()
      const last = (await (await submit(service, request)).done).at(-1)!
      if (last.type === 'failed') throw new BenchFailure(`${last.code}: ${last.message}`)
      latencies.push(performance.now() - from)
    }
  }))
  return { seconds: (performance.now() - begun) / 1000, latencies }
}
