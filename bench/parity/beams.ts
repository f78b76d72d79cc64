/** A beam search through the inference service against what was recorded, best first. */
import type { Digest } from '../../src/digest.js'
import { sameList } from './fixture-files.js'
import { LOGITS_TOLERANCE, type RecordedGeneration } from './generated.js'
import type { Checks } from './ledger.js'
import type { ServedBase } from './served-base.js'

export interface RecordedSearch {
  readonly num_beams: number
  readonly num_return_sequences: number
  readonly max_new_tokens: number
  readonly length_penalty: number
  readonly early_stopping: boolean | 'never'
  readonly outputs: ReadonlyArray<RecordedGeneration & { readonly score: number }>
}

export async function compareBeams (checks: Checks, where: string, served: ServedBase, inputIds: readonly number[], recorded: RecordedSearch, prompt: Digest | null = null): Promise<void> {
  const answers = await served.beams(inputIds, {
    maxTokens: recorded.max_new_tokens, beams: recorded.num_beams, answers: recorded.num_return_sequences,
    lengthPenalty: recorded.length_penalty, earlyStopping: recorded.early_stopping
  }, prompt)
  checks.equal('beams', `${where}: ${answers.length} of ${recorded.outputs.length}`, answers.length === recorded.outputs.length)
  for (const [place, output] of recorded.outputs.entries()) {
    const answer = answers[place]
    if (answer === undefined) continue
    // Shorter ones are filled up behind their first end token.
    const end = output.ids.findIndex(id => served.endIds.includes(id))
    const ids = end === -1 ? output.ids : output.ids.slice(0, end)
    checks.equal('beam ids', `${where} beam ${place}: [${answer.ids.join()}] (${answer.reason}), recorded [${output.ids.join()}]`, sameList(answer.ids, ids) && answer.reason === (end === -1 ? 'length' : 'stop'))
    checks.within('beam scores', `${where} beam ${place}`, Math.abs(answer.score - output.score), LOGITS_TOLERANCE)
  }
}
