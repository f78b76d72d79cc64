/** `generate.json`: greedy through the inference service; beam search is counted. */
import { readJson } from './fixture-files.js'
import { compareGeneration, type RecordedGeneration } from './generated.js'
import type { Checks } from './ledger.js'
import type { ServedBase } from './served-base.js'

interface GenerationCase {
  readonly kind: string
  readonly input_ids: number[][]
  readonly attention_mask?: number[][]
  readonly max_new_tokens: number
  readonly outputs: readonly RecordedGeneration[]
  readonly forced_steps?: unknown
}

export const BEAM_REASON = 'beam search comes later; greedy and sampled decoding are built'

export async function generationReferences (checks: Checks, folder: string, served: ServedBase): Promise<void> {
  const { cases, forced_by_step: forced } = readJson<{ forced_by_step?: object, cases: GenerationCase[] }>(folder, 'generate.json')
  if (forced !== undefined && Object.keys(forced).length > 0) {
    checks.notBuilt('tokens forced by generation_config', cases.length, 'a decoder-only base has none; they come with the encoder-decoder families')
    return
  }
  for (const [number, one] of cases.entries()) {
    if (one.kind === 'beam') {
      checks.notBuilt('beam search', 1, BEAM_REASON)
      continue
    }
    if (one.kind !== 'greedy') {
      checks.fail(`generation of kind ${JSON.stringify(one.kind)}`, 'no check here knows it')
      continue
    }
    await checks.attempt(`greedy case ${number}`, async () => {
      for (const [row, ids] of one.input_ids.entries()) {
        const text = ids.filter((_, i) => one.attention_mask === undefined || one.attention_mask[row]![i] === 1)
        compareGeneration(checks, `case ${number} row ${row}`, served, await served.greedy(text, one.max_new_tokens), one.outputs[row]!)
      }
    })
  }
}
