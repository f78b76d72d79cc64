/** A stream of numbers that depends on nothing but its seed: equal on every machine and Node version. */
export interface Random {
  /** Uniform in [0, 1), 32 bits. */
  next (): number
  /** Uniform integer in [0, limit). */
  below (limit: number): number
  /** Standard normal (Box-Muller). */
  normal (): number
}

/**
 * sfc32 (Chris Doty-Humphrey, PractRand) seeded by a seed and a path of small integers, so that each epoch and each use
 * has a stream of its own and none depends on how much another has drawn.
 */
export function createRandom (seed: number, ...path: readonly number[]): Random {
  let [a, b, c, counter] = [seed | 0, 0x9e3779b9 | 0, path.length | 0, 1]
  const uint32 = (): number => {
    const sum = (((a + b) | 0) + counter) | 0
    counter = (counter + 1) | 0
    a = b ^ (b >>> 9)
    b = (c + (c << 3)) | 0
    c = ((c << 21) | (c >>> 11)) + sum | 0
    return sum >>> 0
  }
  // Every part is mixed in before the next, so that (1, 2) and (2, 1) differ.
  for (const part of [0, ...path]) {
    a ^= part
    for (let round = 0; round < 12; round++) uint32()
  }
  const next = (): number => uint32() / 2 ** 32
  return {
    next,
    below: limit => Math.floor(next() * limit),
    normal: () => Math.sqrt(-2 * Math.log(1 - next())) * Math.cos(2 * Math.PI * next())
  }
}

/** A shuffled copy (Fisher-Yates). */
export function shuffled<T> (items: readonly T[], random: Random): T[] {
  const result = [...items]
  for (let i = result.length - 1; i > 0; i--) {
    const j = random.below(i + 1)
    const swap = result[i]!
    result[i] = result[j]!
    result[j] = swap
  }
  return result
}
