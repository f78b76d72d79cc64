/** Which row gives its slot up. Functions over plain data. */
import { isOverdue } from './fair-share.js'
import type { Schedulable, Schedule } from './scheduler.js'

/**
 * The slot of the row that leaves for `item`, which is the next to be taken in: of the tenant behind that has the most
 * slots for its weight, the row that came last. Only while that tenant has more of them than the tenant of `item` would
 * then have, so that the two do not change places for ever; and not a row that was out too long already. Null: none.
 */
export function whoLeaves<S extends Schedulable> (schedule: Schedule<S, Schedulable>, item: S, behind: ReadonlySet<string>): number | null {
  if (behind.has(item.tenant)) return null
  const { rows } = schedule
  const slotsOf = new Map<string, number>()
  for (const { tenant, weight, rowsToCome } of rows) slotsOf.set(tenant, (slotsOf.get(tenant) ?? 0) + (1 + rowsToCome) / weight)
  const enough = (slotsOf.get(item.tenant) ?? 0) + (1 + item.rowsToCome) / item.weight
  let leaves: number | null = null
  for (const [slot, row] of rows.entries()) {
    const has = slotsOf.get(row.tenant)!
    if (row.remaining > 0 || has <= enough || !givesWay(schedule, row, behind)) continue
    const best = leaves === null ? null : rows[leaves]!
    if (best === null || has > slotsOf.get(best.tenant)! || (row.tenant === best.tenant && row.arrival > best.arrival)) leaves = slot
  }
  return leaves
}

/** Whether a row may leave at all: of a tenant behind, alone in its request, not out too long already, and there is room for what it holds. */
export function givesWay<S extends Schedulable> ({ left, maxKept }: Schedule<S, Schedulable>, row: S, behind: ReadonlySet<string>): boolean {
  if (!row.mayLeave || !behind.has(row.tenant) || isOverdue(row)) return false
  let kept = row.length
  for (const { length } of left) kept += length
  return kept <= maxKept
}
