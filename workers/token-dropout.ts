import type { Example } from './example.js'
import type { Random } from './random.js'

/**
 * The row without some of its input's tokens, each left out with probability `rate` (word dropout, Iyyer et al. 2015,
 * section 3.1). Template and target stay, and so does one input token when all were drawn.
 */
export function dropTokens (example: Example, rate: number, random: Random): Example {
  const { ids, targetStart, input: [from, to] = [0, 0] } = example
  if (rate === 0 || to - from < 2) return example
  const kept = ids.slice(from, to).filter(() => random.next() >= rate)
  if (kept.length === 0) kept.push(ids[from + random.below(to - from)]!)
  const removed = to - from - kept.length
  return { ...example, ids: [...ids.slice(0, from), ...kept, ...ids.slice(to)], targetStart: targetStart - removed, input: [from, to - removed] }
}
