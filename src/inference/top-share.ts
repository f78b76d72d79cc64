import { bestFirst } from './best-first.js'
import { type Tempered, weightOf } from './tempered.js'

/** The vocabulary is split by distance from the best score into parts, and only those that are needed are sorted. */
const PARTS = 256
/** Of a weight that a part ends below the one where it begins: e^-0.25. */
const PART_WIDTH = 0.25

/** The fewest tokens that reach `topP` of all weight, best first, equal ones by lower id. */
export function topShare (tempered: Tempered, topP: number): readonly number[] {
  const { logits, highest, temperature } = tempered
  const parts = new Uint8Array(logits.length)
  const counts = new Uint32Array(PARTS)
  const sums = new Float64Array(PARTS)
  const partsPerScore = 1 / (temperature * PART_WIDTH)
  let total = 0
  for (let id = 0; id < logits.length; id++) {
    const weight = weightOf(tempered, id)
    const part = Math.min(PARTS - 1, Math.floor((highest - logits[id]!) * partsPerScore))
    parts[id] = part
    counts[part]!++
    sums[part]! += weight
    total += weight
  }
  let reached = 0
  let count = 0
  for (let last = 0; ; last++) {
    reached += sums[last]!
    count += counts[last]!
    if (reached < topP * total && last < PARTS - 1) continue
    const found = fewest(tempered, bestFirst(logits, idsOfParts(parts, last, count)), topP * total)
    // The sums of the parts round otherwise than the sum from best to worst.
    if (found.share >= topP * total || last === PARTS - 1) return found.ids
  }
}

function idsOfParts (parts: Uint8Array, last: number, count: number): Uint32Array {
  const ids = new Uint32Array(count)
  let next = 0
  for (let id = 0; id < parts.length; id++) if (parts[id]! <= last) ids[next++] = id
  return ids
}

/** Of `ids` as few as reach `wanted`, from the first on; all when they do not. `share`: their weight */
export function fewest (tempered: Tempered, ids: readonly number[], wanted: number): { readonly ids: readonly number[], readonly share: number } {
  let share = 0
  let count = 0
  while (count < ids.length && share < wanted) share += weightOf(tempered, ids[count++]!)
  return { ids: ids.slice(0, count), share }
}
