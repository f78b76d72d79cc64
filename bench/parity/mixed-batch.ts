/** `mixed_batch.json`: rows of different adapters in flight together; each must get what it gets alone. */
import { join } from 'node:path'
import type { Digest } from '../../src/digest.js'
import { maxDifference } from '../../test/support/numbers.js'
import { adapterConfig, artifactOf, readAdapter, unreadable } from './adapters.js'
import { readJson, readTensors, tensor } from './fixture-files.js'
import { compareGeneration, LOGITS_TOLERANCE, type RecordedGeneration } from './generated.js'
import type { Checks } from './ledger.js'
import type { ServedBase } from './served-base.js'

interface MixedRow extends RecordedGeneration { readonly adapter: string | null, readonly input_ids: number[] }

export async function mixedBatch (checks: Checks, model: string, served: ServedBase): Promise<void> {
  const { rows, max_new_tokens: most, tensors: file } = readJson<{ tensors: string, max_new_tokens: number, rows: MixedRow[] }>(model, 'mixed_batch.json')
  const tensors = readTensors(model, file)
  const running: Array<{ index: number, row: MixedRow, prompt: Digest | null }> = []
  for (const [index, row] of rows.entries()) {
    const folder = row.adapter === null ? null : join(model, row.adapter)
    const reason = folder === null ? null : unreadable(adapterConfig(folder))
    if (reason === null) running.push({ index, row, prompt: folder === null ? null : served.publish(artifactOf(readAdapter(folder, served.base), served.base)) })
    else checks.notBuilt('rows of P-tuning adapters', 1, reason)
  }
  await Promise.all(running.map(async ({ index, row, prompt }) => {
    const answer = await served.greedy(row.input_ids, most, prompt)
    compareGeneration(checks, `row ${index} (${row.adapter ?? 'no adapter'})`, served, answer, row)
    const [first] = answer.stepLogits
    checks.within('first logits', `row ${index}`, first ? maxDifference(first, tensor(tensors, `row.${index}.first_logits`).values) : NaN, LOGITS_TOLERANCE)
  }))
  checks.equal('rows in flight together', String(served.mostRows), served.mostRows > 1 || running.length < 2)
}
