/** Sets of Unicode characters as ranges, and those ranges in UTF-8. Surrogates are no characters. */

/** Ascending, without overlaps. */
export type Characters = ReadonlyArray<readonly [from: number, to: number]>

const LAST = 0x10ffff
export const ANY_CHARACTER: Characters = [[0, 0xd7ff], [0xe000, LAST]]
export const DIGITS: Characters = [[0x30, 0x39]]

export function charactersOf (...ranges: ReadonlyArray<readonly [number, number]>): Characters {
  const merged: Array<[number, number]> = []
  for (const [from, to] of [...ranges].sort(([a], [b]) => a - b)) {
    const last = merged.at(-1)
    if (last !== undefined && from <= last[1] + 1) last[1] = Math.max(last[1], to)
    else merged.push([from, to])
  }
  return merged.flatMap(([from, to]) => ANY_CHARACTER.flatMap(([first, last]): Array<[number, number]> => {
    const [start, end] = [Math.max(from, first), Math.min(to, last)]
    return start <= end ? [[start, end]] : []
  }))
}

export function allBut (characters: Characters): Characters {
  const rest: Array<[number, number]> = []
  let next = 0
  for (const [from, to] of characters) {
    if (from > next) rest.push([next, from - 1])
    next = to + 1
  }
  if (next <= LAST) rest.push([next, LAST])
  return charactersOf(...rest)
}

export function inBoth (a: Characters, b: Characters): Characters {
  return charactersOf(...a.flatMap(([from, to]) => b.flatMap(([first, last]): Array<[number, number]> => {
    const [start, end] = [Math.max(from, first), Math.min(to, last)]
    return start <= end ? [[start, end]] : []
  })))
}

export type ByteRange = readonly [from: number, to: number]

/** Each a sequence of byte ranges whose every combination is one of the characters, in UTF-8. */
export function utf8Of (characters: Characters): ByteRange[][] {
  return characters.flatMap(([from, to]) => byLength(from, to))
}

/** Characters of equally many bytes. */
function byLength (from: number, to: number): ByteRange[][] {
  for (const last of [0x7f, 0x7ff, 0xffff]) {
    if (from <= last && to > last) return [...byLength(from, last), ...byLength(last + 1, to)]
  }
  return split(encoded(from), encoded(to))
}

/** Bytes from `from` to `to` in lexical order, both of one length; every byte but the first goes from 0x80 to 0xBF. */
function split (from: readonly number[], to: readonly number[]): ByteRange[][] {
  const [first, ...low] = from as [number, ...number[]]
  const [last, ...high] = to as [number, ...number[]]
  if (low.length === 0) return [[[first, last]]]
  if (first === last) return split(low, high).map(rest => [[first, first], ...rest])
  const startsLow = low.every(byte => byte === 0x80)
  const endsHigh = high.every(byte => byte === 0xbf)
  const sequences: ByteRange[][] = []
  if (!startsLow) sequences.push(...split(low, low.map(() => 0xbf)).map((rest): ByteRange[] => [[first, first], ...rest]))
  const [start, end] = [startsLow ? first : first + 1, endsHigh ? last : last - 1]
  if (start <= end) sequences.push([[start, end], ...low.map((): ByteRange => [0x80, 0xbf])])
  if (!endsHigh) sequences.push(...split(high.map(() => 0x80), high).map((rest): ByteRange[] => [[last, last], ...rest]))
  return sequences
}

function encoded (character: number): number[] {
  return [...Buffer.from(String.fromCodePoint(character))]
}
