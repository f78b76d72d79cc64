const MULTIPLIERS = [0xd2511f53n, 0xcd9e8d57n] as const
const KEY_STEPS = [0x9e3779b9n, 0xbb67ae85n] as const
const ROUNDS = 10
const LOW = 0xffff_ffffn

/**
 * Philox4x32-10 (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3"): four 32-bit words from a 128-bit
 * counter and a 64-bit key, with no state in between.
 */
export function philox (counter: readonly [number, number, number, number], key: readonly [number, number]): [number, number, number, number] {
  let [a, b, c, d] = counter.map(BigInt) as [bigint, bigint, bigint, bigint]
  let [k0, k1] = key.map(BigInt) as [bigint, bigint]
  for (let round = 0; round < ROUNDS; round++) {
    const first = MULTIPLIERS[0] * a
    const second = MULTIPLIERS[1] * c
    const next = [(second >> 32n) ^ b ^ k0, second & LOW, (first >> 32n) ^ d ^ k1, first & LOW] as const
    ;[a, b, c, d] = next
    k0 = (k0 + KEY_STEPS[0]) & LOW
    k1 = (k1 + KEY_STEPS[1]) & LOW
  }
  return [Number(a), Number(b), Number(c), Number(d)]
}

/**
 * A number in [0, 1) with 53 bits that depends on (seed, step) alone: what a sequence draws at its step n is the same
 * whatever else is in its batch. `seed` is a safe integer, not negative.
 */
export function uniform (seed: number, step: number): number {
  const [high, low] = philox([step >>> 0, 0, 0, 0], [seed % 2 ** 32, Math.floor(seed / 2 ** 32)])
  return ((high >>> 5) * 2 ** 26 + (low >>> 6)) / 2 ** 53
}
