const MULTIPLIERS = [0xd2511f53, 0xcd9e8d57] as const
const KEY_STEPS = [0x9e3779b9, 0xbb67ae85] as const
const ROUNDS = 10

/** The upper 32 bits of a product of two unsigned 32-bit numbers, by halves: the whole does not fit a double. */
function upperHalf (a: number, b: number): number {
  const low = (a & 0xffff) * (b & 0xffff)
  const middle = (a >>> 16) * (b & 0xffff) + Math.floor(low / 65536)
  const other = (a & 0xffff) * (b >>> 16) + (middle & 0xffff)
  return (a >>> 16) * (b >>> 16) + Math.floor(middle / 65536) + Math.floor(other / 65536)
}

/**
 * Philox4x32-10 (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3"): four 32-bit words from a 128-bit
 * counter and a 64-bit key, with no state in between.
 */
export function philox (counter: readonly [number, number, number, number], key: readonly [number, number]): [number, number, number, number] {
  let [a, b, c, d] = counter
  let [k0, k1] = key
  for (let round = 0; round < ROUNDS; round++) {
    const first = upperHalf(MULTIPLIERS[0], a)
    const second = upperHalf(MULTIPLIERS[1], c)
    const lowFirst = Math.imul(MULTIPLIERS[0], a) >>> 0
    const lowSecond = Math.imul(MULTIPLIERS[1], c) >>> 0
    a = (second ^ b ^ k0) >>> 0
    b = lowSecond
    c = (first ^ d ^ k1) >>> 0
    d = lowFirst
    k0 = (k0 + KEY_STEPS[0]) >>> 0
    k1 = (k1 + KEY_STEPS[1]) >>> 0
  }
  return [a, b, c, d]
}

/**
 * A number in [0, 1) with 53 bits that depends on (seed, step, sample) alone: what a sequence draws at its step n is the
 * same whatever else is in its batch. `seed` is a safe integer, not negative; `sample` numbers independent draws of it.
 */
export function uniform (seed: number, step: number, sample = 0): number {
  const [high, low] = philox([step >>> 0, sample >>> 0, 0, 0], [seed % 2 ** 32, Math.floor(seed / 2 ** 32)])
  return ((high >>> 5) * 2 ** 26 + (low >>> 6)) / 2 ** 53
}
