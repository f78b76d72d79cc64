/** What benchmarks make of repeated measurements. */

/** @param share 0 to 1 @returns the smallest number that at least this share does not exceed. @throws RangeError for none */
export function percentile (numbers: readonly number[], share: number): number {
  if (numbers.length === 0) throw new RangeError('no numbers')
  const sorted = [...numbers].sort((a, b) => a - b)
  return sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)]!
}

/** Of an even count the mean of the middle two. @throws RangeError for none */
export function median (numbers: readonly number[]): number {
  if (numbers.length === 0) throw new RangeError('no numbers')
  const sorted = [...numbers].sort((a, b) => a - b)
  const half = sorted.length / 2
  return Number.isInteger(half) ? (sorted[half - 1]! + sorted[half]!) / 2 : sorted[Math.floor(half)]!
}

/** Median of a/b round by round: what slowed the machine in one round slowed both sides of its ratio. */
export function medianRatio (a: readonly number[], b: readonly number[]): number {
  return median(a.map((value, round) => value / b[round]!))
}

/** In even rounds as they are, in odd ones the other way round, so that none always goes first. */
export function inTurn<T> (items: readonly T[], round: number): T[] {
  return round % 2 === 0 ? [...items] : [...items].reverse()
}
