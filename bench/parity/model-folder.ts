/** Everything that is recorded of one Hugging Face model of the family. */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { adapterConfig } from './adapters.js'
import { foldersIn, readJson, refuseStrangers } from './fixture-files.js'
import { forwardReferences } from './forward.js'
import { generationReferences } from './generation.js'
import type { Checks, Ledger } from './ledger.js'
import { mixedBatch } from './mixed-batch.js'
import { peftReference } from './peft.js'
import { ServedBase } from './served-base.js'
import { tokenizerReferences } from './tokenizer-cases.js'
import { type RecordedRun, runFolder, trainingRun } from './training-run.js'

const KNOWN = ['model', 'tokenizer_cases.json', 'forward.json', 'forward.safetensors', 'generate.json', 'batches.json', 'peft', 'optim', 'mixed_batch.json', 'mixed_batch.safetensors', 'neighbours.json']

/** @param name of the folder among the fixtures @param home takes the imported base */
export async function modelFolder (ledger: Ledger, name: string, folder: string, home: string): Promise<void> {
  const checks = ledger.subject(name)
  refuseStrangers(checks, folder, KNOWN)
  await checks.attempt('import', async () => {
    const served = await ServedBase.open(join(folder, 'model'), home)
    try {
      await compareAll(ledger, checks, name, folder, served)
    } finally {
      await served.close()
    }
  })
}

async function compareAll (ledger: Ledger, checks: Checks, name: string, folder: string, served: ServedBase): Promise<void> {
  const part = async (file: string, check: string, compare: () => Promise<void> | void): Promise<void> => {
    if (existsSync(join(folder, file))) await checks.attempt(check, compare)
  }
  await part('tokenizer_cases.json', 'tokenizer', () => tokenizerReferences(checks, folder, served))
  await part('forward.json', 'forward', async () => await forwardReferences(checks, folder, served))
  await part('generate.json', 'generation', async () => await generationReferences(checks, folder, served))
  for (const method of foldersIn(join(folder, 'peft'))) {
    const own = ledger.subject(`${name}/peft/${method}`)
    await own.attempt('adapter', async () => await peftReference(own, join(folder, 'peft', method), folder, served))
  }
  for (const one of foldersIn(join(folder, 'optim'))) {
    const own = ledger.subject(`${name}/optim/${one}`)
    await own.attempt('training', async () => await optimizerCase(own, join(folder, 'optim', one), served))
  }
  if (existsSync(join(folder, 'mixed_batch.json'))) {
    const own = ledger.subject(`${name}/mixed_batch`)
    await own.attempt('mixed batch', async () => await mixedBatch(own, folder, served))
  }
  await part('neighbours.json', 'nearest vocabulary entries', () => {
    const { rows } = readJson<{ rows: unknown[] }>(folder, 'neighbours.json')
    checks.notBuilt('nearest vocabulary entries of a prompt', rows.length, 'inspecting a prompt comes with a later issue')
  })
}

async function optimizerCase (checks: Checks, folder: string, served: ServedBase): Promise<void> {
  refuseStrangers(checks, folder, ['case.json', 'final_params.safetensors', 'params_by_step.safetensors', 'grads.safetensors'])
  const { files } = readJson<RecordedRun>(folder, 'case.json')
  const { peft_type: type } = adapterConfig(runFolder(folder, files))
  const method = type === 'PREFIX_TUNING' ? 'prefix-tuning' : type === 'PROMPT_TUNING' ? 'prompt-tuning' : null
  if (method === null) throw new Error(`an optimizer case of ${type}, which no check here knows`)
  await trainingRun(checks, folder, method, served.base)
}
