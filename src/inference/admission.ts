/** Who may wait: free slots, then a bounded queue, then a refusal. Plain data and functions over it. */
import { ServiceError } from '../errors.js'
import type { Schedulable, Schedule } from './scheduler.js'

/** Seconds after which it is worth coming back, at most. */
const LONGEST_RETRY = 30

/**
 * Book a place for a request that is on its way to the queue (its prompt may have to be loaded first), until it is
 * enqueued or `withdraw`n.
 *
 * One tenant alone may fill the queue to its limit N. A full queue is full for those who filled it: with k tenants in it,
 * one still gets in while it has less than a k-th of what is left up to 2N. So a flood does not keep others out, several
 * floods leave room for one more tenant (about 2N / (k + 1) places), and 2N is never exceeded.
 * @throws ServiceError `saturated`
 */
export function admit (schedule: Schedule<Schedulable, Schedulable>, arrival: number, tenant: string, weight = 1): void {
  const { rows, slots, waiting, loading, maxWaiting } = schedule
  const limit = maxWaiting + slots - rows.length
  const total = waiting.length + loading.size
  if (total >= limit) {
    let own = 0
    const tenants = new Set([tenant])
    const count = (other: string): void => {
      tenants.add(other)
      if (other === tenant) own++
    }
    for (const item of waiting) count(item.tenant)
    for (const other of loading.values()) count(other.tenant)
    if (own >= (2 * limit - total) / tenants.size) {
      throw new ServiceError('saturated', `${rows.length} sequences run and ${total} wait, ${own} of this tenant, limit ${maxWaiting}`, { retryAfter: retryAfter(total, slots) })
    }
  }
  loading.set(arrival, { tenant, weight })
}

/** Seconds. Short requests that wait clear in about one for each round of slots. */
export function retryAfter (waiting: number, slots: number): number {
  return Math.max(1, Math.min(LONGEST_RETRY, Math.ceil(waiting / slots)))
}

/** The request comes no further. */
export function withdraw (schedule: Schedule<Schedulable, Schedulable>, arrival: number): void {
  schedule.loading.delete(arrival)
}
