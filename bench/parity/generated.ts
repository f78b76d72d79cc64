/** A greedy answer against what was recorded: `ids` up to and including the first end token. */
import { maxDifference } from '../../test/support/numbers.js'
import { sameList } from './fixture-files.js'
import type { Checks } from './ledger.js'
import type { GreedyAnswer, ServedBase } from './served-base.js'

export interface RecordedGeneration { readonly ids: readonly number[], readonly logprobs?: readonly number[], readonly text?: string }

export const LOGITS_TOLERANCE = 1e-4

export function compareGeneration (checks: Checks, where: string, served: ServedBase, answer: GreedyAnswer, recorded: RecordedGeneration): void {
  const ended = served.endIds.includes(recorded.ids.at(-1) ?? -1)
  const ids = ended ? recorded.ids.slice(0, -1) : recorded.ids
  checks.equal('greedy ids', `${where}: [${answer.ids.join()}] (${answer.reason}), recorded [${recorded.ids.join()}]`, sameList(answer.ids, ids) && answer.reason === (ended ? 'stop' : 'length'))
  // The end token has a text where it is no special token.
  const end = ended ? recorded.ids.slice(-1) : []
  if (recorded.text !== undefined) checks.equal('greedy text', where, served.tokenizer.decode([...answer.ids, ...end]) === recorded.text)
  if (recorded.logprobs === undefined) return
  if (recorded.logprobs.length !== answer.logprobs.length) {
    checks.fail('log-probabilities', `${where}: ${answer.logprobs.length} steps, recorded ${recorded.logprobs.length}`)
    return
  }
  const own = answer.logprobs.map((value, step) => [value, recorded.logprobs![step]!] as const).filter(([value]) => !Number.isNaN(value))
  if (own.length > 0) checks.within('log-probabilities', where, maxDifference(own.map(([value]) => value), own.map(([, value]) => value)), LOGITS_TOLERANCE)
}
