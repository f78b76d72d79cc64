/** Numbers within bounds, as JSON writes them: without an exponent, with at most so many digits on each side of the point. */
import { charactersOf, DIGITS } from './characters.js'
import { character, either, type Grammar, optional, repeat, sequence, text } from './grammar.js'

/** Whole numbers of so many digits are exact in a double. */
export const MAX_DIGITS = 15
export const LARGEST = 10 ** MAX_DIGITS - 1

const DIGIT = character(DIGITS)
const FRACTION = optional(sequence(text('.'), repeat(DIGIT, 1, MAX_DIGITS)))
const ZERO_FRACTION = optional(sequence(text('.'), repeat(text('0'), 1, MAX_DIGITS)))

/** @param least, most whole, least <= most, their digits at most `MAX_DIGITS` */
export function integersBetween (least: number, most: number): Grammar {
  const options: Grammar[] = []
  if (least < 0) options.push(sequence(text('-'), digitsBetween(Math.max(1, -most), -least)))
  if (most >= 0) options.push(digitsBetween(Math.max(0, least), most))
  return either(...options)
}

/** With the bounds themselves. @param least, most as in `integersBetween` */
export function numbersBetween (least: number, most: number): Grammar {
  const options: Grammar[] = []
  if (least < 0) options.push(sequence(text('-'), magnitudesBetween(Math.max(0, -most), -least)))
  if (most >= 0) options.push(magnitudesBetween(Math.max(0, least), most))
  return either(...options)
}

function magnitudesBetween (least: number, most: number): Grammar {
  const last = sequence(text(String(most)), ZERO_FRACTION)
  return least === most ? last : either(sequence(digitsBetween(least, most - 1), FRACTION), last)
}

/** 0 <= least <= most. */
function digitsBetween (least: number, most: number): Grammar {
  const options: Grammar[] = []
  for (let from = least; from <= most;) {
    const to = Math.min(most, 10 ** String(from).length - 1)
    options.push(equallyLong(String(from), String(to)))
    from = to + 1
  }
  return either(...options)
}

function equallyLong (from: string, to: string): Grammar {
  if (from === to) return text(from)
  const [low, high] = [Number(from[0]), Number(to[0])]
  const rest = from.length - 1
  if (low === high) return sequence(text(from[0]!), equallyLong(from.slice(1), to.slice(1)))
  if (rest === 0) return oneOfDigits(low, high)
  const startsLow = /^0*$/.test(from.slice(1))
  const endsHigh = /^9*$/.test(to.slice(1))
  const options: Grammar[] = []
  if (!startsLow) options.push(sequence(text(from[0]!), equallyLong(from.slice(1), '9'.repeat(rest))))
  const [start, end] = [startsLow ? low : low + 1, endsHigh ? high : high - 1]
  if (start <= end) options.push(sequence(oneOfDigits(start, end), repeat(DIGIT, rest, rest)))
  if (!endsHigh) options.push(sequence(text(to[0]!), equallyLong('0'.repeat(rest), to.slice(1))))
  return either(...options)
}

function oneOfDigits (from: number, to: number): Grammar {
  return character(charactersOf([0x30 + from, 0x30 + to]))
}
