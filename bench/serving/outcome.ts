/** From the rounds of each case to tables and to what was missed. */
import { median, medianRatio } from '../statistics.js'
import type { Table } from '../report.js'
import { type Bound, type Case, keeps, shown } from './cases.js'
import { WITH_PROMPTS } from './own-engine.js'
import { peerOf } from './peers.js'

export interface Measured {
  readonly case: string
  readonly unit: Case['unit']
  /** By subject, one number a round. */
  readonly rounds: Readonly<Record<string, readonly number[]>>
  /** By the others' names, a peer with the number of threads that is its best in this case: medians of ours / theirs. */
  readonly ratios: Readonly<Record<string, number>>
  readonly wanted: Case['wanted']
}

export function measured ({ name, unit, wanted }: Case, rounds: Measured['rounds']): Measured {
  const better = (a: string, b: string): string => (median(rounds[a]!) > median(rounds[b]!)) === (unit === 'tokens/s') ? a : b
  const best = new Map<string, string>()
  for (const other of Object.keys(rounds).filter(subject => subject !== WITH_PROMPTS)) best.set(peerOf(other), better(other, best.get(peerOf(other)) ?? other))
  return { case: name, unit, rounds, wanted, ratios: Object.fromEntries([...best].map(([peer, variant]) => [peer, medianRatio(rounds[WITH_PROMPTS]!, rounds[variant]!)])) }
}

/** One line for each ratio beyond its bound. */
export function missed (all: readonly Measured[]): string[] {
  return all.flatMap(one => bounded(one).filter(({ ratio, bound }) => !keeps(ratio, bound)).map(({ other, ratio, bound }) => `${one.case}: ${ratio.toFixed(2)} of ${other}, wanted ${shown(bound)}`))
}

function bounded ({ ratios, wanted }: Measured): Array<{ other: string, ratio: number, bound: Bound }> {
  return Object.entries(wanted).filter(([other]) => ratios[other] !== undefined).map(([other, bound]) => ({ other, ratio: ratios[other]!, bound }))
}

export function mediansTable (title: string, all: readonly Measured[]): Table {
  const subjects = Object.keys(all[0]!.rounds)
  return {
    title,
    columns: ['case', 'unit', ...subjects],
    rows: all.map(({ case: name, unit, rounds }) => [name, unit, ...subjects.map(subject => median(rounds[subject]!).toFixed(1))])
  }
}

export function ratiosTable (all: readonly Measured[]): Table {
  return {
    title: 'Ours / theirs, median of the rounds; of a peer with the threads that suit it best',
    columns: ['case', 'of', 'against', 'ratio', 'wanted', ''],
    rows: all.flatMap(({ case: name, unit, ratios, wanted }) => Object.entries(ratios).map(([other, ratio]) => {
      const bound = wanted[other]
      return [name, unit, other, ratio.toFixed(3), bound === undefined ? '' : shown(bound), bound === undefined || keeps(ratio, bound) ? '' : 'missed']
    }))
  }
}
