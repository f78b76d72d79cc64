import { median, percentile } from '../statistics.js'

/** Milliseconds. */
export interface Times { readonly p50: number, readonly p99: number, readonly max: number }

export function timesOf (milliseconds: readonly number[]): Times {
  return { p50: percentile(milliseconds, 0.5), p99: percentile(milliseconds, 0.99), max: percentile(milliseconds, 1) }
}

/** Each the median over rounds. */
export function medianTimes (rounds: readonly Times[]): Times {
  const of = (which: keyof Times): number => median(rounds.map(times => times[which]))
  return { p50: of('p50'), p99: of('p99'), max: of('max') }
}
