/**
 * Whose turn it is: virtual token counters (Sheng et al., "Fairness in Serving Large Language Models", OSDI 2024) and
 * age. Plain data and functions over it.
 *
 * Each tenant has a counter of the tokens it was served, divided by its weight, and whoever has the lowest is taken in next. Among tenants that
 * always have something waiting, no two are served more than 2 · max(input tokens of a request, weighted output tokens
 * of all slots) apart, whatever their rates (and the length of an input, where short ones overtake it). A tenant whose counter fell behind while nothing of it waited is lifted to
 * the lowest that waits: it saved nothing up, and it starts behind nobody.
 */

/** What an input token costs. */
export const INPUT_WEIGHT = 1
/** What a decoded token costs: the time of a row of a full decode step over that of an input token, default base, 2 cores. */
export const OUTPUT_WEIGHT = 3

/**
 * How many later arrivals may be taken in before a request, until it goes first by age. Counters alone would let it wait
 * for ever while new tenants keep coming; among a fixed set of tenants it is hardly ever reached.
 */
export const MAX_PASSED = 256
/** Of so many requests that are taken in one may go by age, so that an old flood does not become a burst. */
export const AGE_EVERY = 8

/** Counters of so many tenants are kept before those that say nothing any more are looked for. */
const TENANTS_REMEMBERED = 1024

export interface Queued {
  /** Order of arrival. */
  readonly arrival: number
  readonly tenant: string
  /** Of the tenant, more than 0: what it is served counts a weight-th. */
  readonly weight: number
  /** Later arrivals that were taken in before it. */
  passed: number
}

export interface Shares {
  /** Weighted tokens by tenant; one that is absent counts as 0. */
  readonly counters: Map<string, number>
  /** Whose request was taken in last. */
  lastServed: string | null
  /** Requests taken in since one went by age. */
  sinceAge: number
}

export function newShares (): Shares {
  return { counters: new Map(), lastServed: null, sinceAge: 0 }
}

/** `tenant` has nothing in `queues` and is about to: it neither saved up what it did not use nor starts behind others. */
export function lift (shares: Shares, tenant: string, ...queues: ReadonlyArray<readonly Queued[]>): void {
  let level = Infinity
  for (const queue of queues) {
    for (const item of queue) {
      if (item.tenant === tenant) return
      level = Math.min(level, counterOf(shares, item.tenant))
    }
  }
  if (level === Infinity) level = shares.lastServed === null ? 0 : counterOf(shares, shares.lastServed)
  shares.counters.set(tenant, Math.max(level, counterOf(shares, tenant)))
}

/** @param tokens weighted by kind */
export function charge (shares: Shares, { tenant, weight }: Pick<Queued, 'tenant' | 'weight'>, tokens: number): void {
  shares.counters.set(tenant, counterOf(shares, tenant) + tokens / weight)
}

/** Whether one may go by age now. */
export function ageDecides (shares: Shares): boolean {
  return shares.sinceAge >= AGE_EVERY - 1
}

/** Whether `a` is taken in before `b`. */
export function goesBefore (shares: Shares, a: Queued, b: Queued, byAge: boolean): boolean {
  if (byAge && isOverdue(a) !== isOverdue(b)) return isOverdue(a)
  const difference = byAge && isOverdue(a) ? 0 : counterOf(shares, a.tenant) - counterOf(shares, b.tenant)
  return difference === 0 ? a.arrival < b.arrival : difference < 0
}

/** Account for `item`, of `tokens` input tokens, which is taken in; `passed` are the queues from which another could have been. */
export function takenIn (shares: Shares, item: Queued, tokens: number, byAge: boolean, ...passed: ReadonlyArray<readonly Queued[]>): void {
  charge(shares, item, INPUT_WEIGHT * tokens)
  shares.lastServed = item.tenant
  shares.sinceAge = byAge && isOverdue(item) ? 0 : shares.sinceAge + 1
  for (const queue of passed) {
    for (const other of queue) if (other.arrival < item.arrival) other.passed++
  }
}

/**
 * Forget the tenants of whom nothing is left in `groups`, when there are many: all when nobody is left at all, because
 * then nobody waited for what they had; else those that would be lifted anyway when they come back.
 */
export function forget (shares: Shares, ...groups: ReadonlyArray<ReadonlyArray<Pick<Queued, 'tenant'>>>): void {
  if (groups.every(group => group.length === 0)) {
    shares.counters.clear()
    shares.lastServed = null
    return
  }
  if (shares.counters.size <= TENANTS_REMEMBERED) return
  const present = new Set(groups.flatMap(group => group.map(({ tenant }) => tenant)))
  if (shares.lastServed !== null) present.add(shares.lastServed)
  const level = Math.min(...[...present].map(tenant => counterOf(shares, tenant)))
  for (const [tenant, counter] of shares.counters) {
    if (counter <= level && !present.has(tenant)) shares.counters.delete(tenant)
  }
}

export function counterOf (shares: Shares, tenant: string): number {
  return shares.counters.get(tenant) ?? 0
}

/** Whether it goes first where age decides. */
export function isOverdue (item: Pick<Queued, 'passed'>): boolean {
  return item.passed >= MAX_PASSED
}
