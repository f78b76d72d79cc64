/** Parts of a power of two that are tabulated; what is left of an exponent is at most half of one. */
const PARTS = 2048
const PARTS_BITS = 11
const PART = Math.LN2 / PARTS
/** Below it a result would not be a normal number any more. */
const SMALLEST = -708

/** 2^(index / PARTS) */
const WITHIN = Float64Array.from({ length: PARTS }, (_, index) => 2 ** (index / PARTS))
/** 2^(index - LARGEST) */
const LARGEST = 1023
const POWERS = Float64Array.from({ length: LARGEST + 1 }, (_, index) => 2 ** (index - LARGEST))

/**
 * e^x in less than half the time of `Math.exp`, which takes 0.7 ms for a vocabulary of 49,152: from two tables and the first
 * terms of the series for what is left. Off by less than 2e-12 of the result; 0 below e^-708; e^0 is 1.
 * @param x at most 0, not NaN
 */
export function exponential (x: number): number {
  if (x < SMALLEST) return 0
  const part = (x * (1 / PART) - 0.5) | 0
  const left = x - part * PART
  return WITHIN[part & (PARTS - 1)]! * (1 + left + left * left / 2) * POWERS[LARGEST + (part >> PARTS_BITS)]!
}
