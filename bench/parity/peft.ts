/** `peft/METHOD`: an adapter read, trained again from its start, exported, and served. */
import { join } from 'node:path'
import type { Digest } from '../../src/digest.js'
import { ServiceError } from '../../src/errors.js'
import { parseSafetensors } from '../../src/model/safetensors.js'
import { ARTIFACT_FILES, type ArtifactFiles } from '../../src/prompt/artifact.js'
import { readArtifact } from '../../src/prompt/artifact-files.js'
import { type PeftAdapter, PROMPT_TENSOR } from '../../src/prompt/peft.js'
import { BaseWeights } from '../../workers/base-weights.js'
import { initialPrompt } from '../../workers/initialise.js'
import { maxDifference } from '../../test/support/numbers.js'
import { type AdapterConfig, adapterConfig, artifactOf, readAdapter, unreadable } from './adapters.js'
import { compareBeams, type RecordedSearch } from './beams.js'
import { filesIn, readJson, readTensors, refuseStrangers, sameBits, sameList, tensor } from './fixture-files.js'
import { compareGeneration, LOGITS_TOLERANCE, type RecordedGeneration } from './generated.js'
import type { Checks } from './ledger.js'
import type { ServedBase } from './served-base.js'
import { trainingRun } from './training-run.js'

const FILES = ['adapter', 'case.json', 'init_params.safetensors', 'grads.safetensors', 'final_params.safetensors', 'encoder_output.safetensors', 'served.safetensors']

interface Served {
  readonly one_by_one?: readonly RecordedGeneration[]
  readonly beam_of_prompt_1?: RecordedSearch
  readonly padded_batch?: { readonly rows: readonly unknown[] }
}

/** @param folder `peft/METHOD` @param model the folder with `batches.json` */
export async function peftReference (checks: Checks, folder: string, model: string, served: ServedBase): Promise<void> {
  refuseStrangers(checks, folder, FILES)
  const config = adapterConfig(join(folder, 'adapter'))
  const reason = unreadable(config)
  if (reason !== null) {
    checks.equal('refused by name', config.peft_type, refusal(folder, served)?.includes(config.peft_type) === true)
    checks.notBuilt(`${config.peft_type}: training and serving`, 1, reason)
    return
  }
  const adapter = readAdapter(join(folder, 'adapter'), served.base)
  compareAdapter(checks, folder, config, adapter)
  if (config.prefix_projection === true) checks.notBuilt('training through the MLP', 1, 'the prefix MLP comes later; its saved prefix is flat and is served')
  else await checks.attempt('training', async () => await trainingRun(checks, folder, adapter.method, served.base))
  if (config.prompt_tuning_init === 'TEXT') await checks.attempt('rows from the initial text', async () => await compareTextInit(checks, folder, config, served))

  const files = artifactOf(adapter, served.base)
  await checks.attempt('exported tensor', () => compareExport(checks, folder, files, served))
  await checks.attempt('served', async () => await compareServed(checks, folder, model, served.publish(files), served))
}

function refusal (folder: string, { base }: ServedBase): string | null {
  try {
    readAdapter(join(folder, 'adapter'), base)
    return null
  } catch (error) {
    if (error instanceof ServiceError) return error.message
    throw error
  }
}

function compareAdapter (checks: Checks, folder: string, config: AdapterConfig, { numVirtualTokens, embeddings }: PeftAdapter): void {
  checks.equal('virtual tokens of the adapter', String(numVirtualTokens), numVirtualTokens === config.num_virtual_tokens)
  checks.equal('rows of the adapter', 'the encoder\'s last output', sameBits(embeddings, tensor(readTensors(folder, 'encoder_output.safetensors'), 'final').values))
  if (config.prefix_projection !== true) checks.equal('rows of the adapter', 'the trained parameters', sameBits(embeddings, tensor(readTensors(folder, 'final_params.safetensors'), 'embedding.weight').values))
}

/** The text is tokenized and its embeddings are copied: nothing is computed, so nothing may differ. */
async function compareTextInit (checks: Checks, folder: string, config: AdapterConfig, { base, tokenizer }: ServedBase): Promise<void> {
  const weights = new BaseWeights(base.folder)
  try {
    const values = await initialPrompt({
      method: { type: 'prompt-tuning', num_virtual_tokens: config.num_virtual_tokens, init: { type: 'text', text: config.prompt_tuning_init_text ?? '' } },
      spec: { kind: 'generation', template: '{input}', verbalizer: null }, config: base.manifest.config, weights,
      tokenizer, seed: 0, threads: 1, signal: new AbortController().signal
    })
    checks.equal('rows from the initial text', config.prompt_tuning_init_text ?? '', sameBits(values, tensor(readTensors(folder, 'init_params.safetensors'), 'embedding.weight').values))
  } finally {
    weights.close()
  }
}

function compareExport (checks: Checks, folder: string, files: ArtifactFiles, { base: { manifest } }: ServedBase): void {
  // Half precision of an adapter is widened; ours is float32.
  const theirs = tensor(readTensors(folder, 'adapter', ARTIFACT_FILES.adapter), PROMPT_TENSOR)
  const own = parseSafetensors(files.get(ARTIFACT_FILES.adapter)!).tensors.get(PROMPT_TENSOR)!
  checks.equal('exported tensor', 'type and shape', own.dtype === 'F32' && sameList(own.shape, theirs.shape))
  const { offset, bytes } = own
  checks.equal('exported tensor', 'bytes', Buffer.from(files.get(ARTIFACT_FILES.adapter)!).subarray(offset, offset + bytes).equals(Buffer.from(theirs.values.buffer, theirs.values.byteOffset, theirs.values.byteLength)))
  checks.equal('exported tensor', 'read back', sameBits(readArtifact(files, { base: manifest.digest, config: manifest.config }).embeddings, tensor(readTensors(folder, 'encoder_output.safetensors'), 'final').values))
}

async function compareServed (checks: Checks, folder: string, model: string, prompt: Digest, served: ServedBase): Promise<void> {
  const { served: recorded } = readJson<{ served: Served }>(folder, 'case.json')
  const { serve: { input_ids: prompts, max_new_tokens: most } } = readJson<{ serve: { input_ids: number[][], max_new_tokens: number } }>(model, 'batches.json')
  const stranger = Object.keys(recorded).find(key => !['one_by_one', 'beam_of_prompt_1', 'padded_batch'].includes(key))
  if (stranger !== undefined) checks.fail(`served.${stranger}`, 'a reference of a kind that no check here reads')
  const tensors = filesIn(folder).includes('served.safetensors') ? readTensors(folder, 'served.safetensors') : new Map()
  for (const [i, one] of (recorded.one_by_one ?? []).entries()) {
    const answer = await served.greedy(prompts[i]!, most, prompt)
    compareGeneration(checks, `prompt ${i}`, served, answer, one)
    const { values, shape: [steps, vocabulary] } = tensor(tensors, `one_by_one.${i}.step_logits`)
    checks.equal('greedy steps', `prompt ${i}`, answer.stepLogits.length === steps)
    for (const [step, logits] of answer.stepLogits.slice(0, steps).entries()) {
      checks.within('step logits', `prompt ${i} step ${step}`, logits === null ? NaN : maxDifference(logits, values.subarray(step * vocabulary!, (step + 1) * vocabulary!)), LOGITS_TOLERANCE)
    }
  }
  if (recorded.padded_batch !== undefined) checks.notApplicable('left-padded batch', recorded.padded_batch.rows.length, 'PEFT puts padding between prompt and text; rows here have none and must equal one_by_one')
  if (recorded.beam_of_prompt_1 !== undefined) await compareBeams(checks, 'prompt 1', served, prompts[1]!, recorded.beam_of_prompt_1, prompt)
}
