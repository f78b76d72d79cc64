/** |a - b| / |b| over all entries (L2). */
export function relativeL2 (a: ArrayLike<number>, b: ArrayLike<number>): number {
  if (a.length !== b.length) throw new Error(`${a.length} values against ${b.length}`)
  let difference = 0
  let norm = 0
  for (let i = 0; i < b.length; i++) {
    difference += (a[i]! - b[i]!) ** 2
    norm += b[i]! ** 2
  }
  return Math.sqrt(difference / norm)
}

export function maxDifference (a: ArrayLike<number>, b: ArrayLike<number>): number {
  if (a.length !== b.length) throw new Error(`${a.length} values against ${b.length}`)
  let most = 0
  for (let i = 0; i < b.length; i++) {
    const difference = Math.abs(a[i]! - b[i]!)
    // A NaN must not pass as small.
    if (!(difference <= most)) most = difference
  }
  return most
}

/** Numbers in [-1, 1) from a seed (mulberry32). */
export function seededNumbers (seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let x = Math.imul(state ^ state >>> 15, 1 | state)
    x = x + Math.imul(x ^ x >>> 7, 61 | x) ^ x
    return ((x ^ x >>> 14) >>> 0) / 2 ** 31 - 1
  }
}
