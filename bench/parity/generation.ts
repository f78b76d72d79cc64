/** `generate.json`: greedy and beam search through the inference service. */
import { compareBeams, type RecordedSearch } from './beams.js'
import { readJson } from './fixture-files.js'
import { compareGeneration, type RecordedGeneration } from './generated.js'
import type { Checks } from './ledger.js'
import type { ServedBase } from './served-base.js'

interface Inputs {
  readonly input_ids: number[][]
  readonly attention_mask?: number[][]
}

interface GreedyCase extends Inputs {
  readonly kind: 'greedy'
  readonly max_new_tokens: number
  readonly outputs: readonly RecordedGeneration[]
}

interface BeamCase extends Inputs, RecordedSearch { readonly kind: 'beam' }

type GenerationCase = GreedyCase | BeamCase | (Inputs & { readonly kind: 'unknown' })

export async function generationReferences (checks: Checks, folder: string, served: ServedBase): Promise<void> {
  const { cases, forced_by_step: forced } = readJson<{ forced_by_step?: object, cases: GenerationCase[] }>(folder, 'generate.json')
  if (forced !== undefined && Object.keys(forced).length > 0) {
    checks.notBuilt('tokens forced by generation_config', cases.length, 'a decoder-only base has none; they come with the encoder-decoder families')
    return
  }
  for (const [number, one] of cases.entries()) {
    await checks.attempt(`${one.kind} case ${number}`, async () => {
      for (const [row, ids] of one.input_ids.entries()) {
        const where = `case ${number} row ${row}`
        const text = ids.filter((_, i) => one.attention_mask === undefined || one.attention_mask[row]![i] === 1)
        switch (one.kind) {
          case 'greedy': compareGeneration(checks, where, served, await served.greedy(text, one.max_new_tokens), one.outputs[row]!); break
          case 'beam': await compareBeams(checks, where, served, text, one); break
          default: checks.fail(`generation of kind ${JSON.stringify(one.kind)}`, 'no check here knows it')
        }
      }
    })
  }
}
