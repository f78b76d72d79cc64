/**
 * Whose rows and inputs give way. Counters say who is taken in next; they do not keep a tenant that asks for far more than
 * the others from filling every slot and every step before the others come. Such a tenant stands behind: it takes what
 * the others leave, and beside them a part of the time that they take. Plain data and functions over it.
 */
import { RUN_TOKENS } from './chunks.js'
import { counterOf, OUTPUT_WEIGHT, type Queued, type Shares } from './fair-share.js'

/**
 * Time of those behind for each unit of time of the others, while there are others. In simulation (`npm test`,
 * noisy-neighbour) it is the one number that trades the others' latency for throughput.
 */
const LENT_PART = 0.05
/** Time that is lent before it is used, in input tokens: about a decode step. */
const LENT_AT_MOST = 32
/** What a decode step costs whatever its rows, in input tokens (default base, 2 cores). */
const DECODE_RUN_TOKENS = 15

/** A tenant behind wants so many times what the tenant in the middle wants; tenants of one kind seldom differ so much by chance. */
const WANTS_TIMES = 6
/** A tenant whose counter is so many tokens under all others' is behind no longer: what it is owed by the counters it gets. */
export const OWED_AT_MOST = 1000

/**
 * Tenants that stand behind: they want more slots than their share of them, and `WANTS_TIMES` what is usual, by weight.
 * @param groups everything that runs or waits
 */
export function tenantsBehind (shares: Shares, slots: number, ...groups: ReadonlyArray<readonly Queued[]>): ReadonlySet<string> {
  const wanted = new Map<string, number>()
  const weights = new Map<string, number>()
  for (const group of groups) {
    for (const { tenant, weight } of group) {
      wanted.set(tenant, (wanted.get(tenant) ?? 0) + 1 / weight)
      weights.set(tenant, weight)
    }
  }
  const behind = new Set<string>()
  if (wanted.size < 2) return behind
  let weightOfAll = 0
  for (const weight of weights.values()) weightOfAll += weight
  const sorted = [...wanted.values()].sort((a, b) => a - b)
  const usual = sorted[(sorted.length - 1) >> 1]!
  let lowest = Infinity
  for (const [tenant, wants] of wanted) {
    if (wants * weightOfAll > slots && wants > WANTS_TIMES * usual) behind.add(tenant)
    else lowest = Math.min(lowest, counterOf(shares, tenant))
  }
  for (const tenant of behind) if (lowest - counterOf(shares, tenant) > OWED_AT_MOST) behind.delete(tenant)
  return behind
}

/** What is lent to those behind after a chunk of one in front. */
export function lentByChunk (tokens: number): number {
  return LENT_PART * (RUN_TOKENS + tokens)
}

/** What a chunk of one behind takes. */
export function takenByChunk (tokens: number): number {
  return RUN_TOKENS + tokens
}

/** What a decode step lends or, negative, takes. @param front rows in front that decode @param behind rows behind in the step */
export function lentByDecode (front: number, behind: number): number {
  if (front === 0) return -(DECODE_RUN_TOKENS + OUTPUT_WEIGHT * behind)
  return LENT_PART * (DECODE_RUN_TOKENS + OUTPUT_WEIGHT * front) - OUTPUT_WEIGHT * behind
}

/** Nothing is saved up beyond a step. */
export function withLent (lent: number, more: number): number {
  return Math.min(LENT_AT_MOST, lent + more)
}
