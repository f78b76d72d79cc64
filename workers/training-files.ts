/** The rows of a job: training and validation, tokenized. */
import { type Digest, digestOf } from '../src/digest.js'
import { ServiceError } from '../src/errors.js'
import type { BaseManifest } from '../src/model/base.js'
import type { Tokenizer } from '../src/model/tokenizer.js'
import type { TaskSpec } from '../src/prompt/task-spec.js'
import { uploadKey } from '../src/registry/store/object-keys.js'
import type { ObjectStore } from '../src/registry/store/object-store.js'
import type { TrainingJobData } from '../src/training/job.js'
import { validationRows } from '../src/training/recipe.js'
import { requireTwoLabels } from '../src/training/task-row.js'
import type { Example } from './example.js'
import { readExamples, type RowOptions, splitValidation } from './rows.js'

export interface TrainingFiles {
  readonly training: readonly Example[]
  readonly validation: readonly Example[]
  readonly digests: { readonly training: Digest, readonly validation: Digest | null }
}

/** @throws ServiceError `file_not_found` and what `readExamples` says */
export async function readTrainingFiles (objects: ObjectStore, data: TrainingJobData, { config }: Pick<BaseManifest, 'config'>, tokenizer: Tokenizer): Promise<TrainingFiles> {
  const { spec, recipe, method, tenant } = data
  const options: Omit<RowOptions, 'param'> = {
    spec,
    tokenizer,
    endTokenId: config.eosTokenIds[0] ?? null,
    maxLength: Math.min(recipe.max_length, config.contextLength - method.num_virtual_tokens)
  }
  const file = await readFile(objects, tenant, data.trainingFile, 'training_file')
  const all = readExamples(file, { ...options, param: 'training_file' })
  if (data.validationFile === null) {
    const { training, validation } = splitValidation(all, validationRows(all.length), recipe.seed)
    requireTwoLabels(labelsOf(training, spec), 'training_file')
    return { training, validation, digests: { training: digestOf(file), validation: null } }
  }
  requireTwoLabels(labelsOf(all, spec), 'training_file')
  const validationFile = await readFile(objects, tenant, data.validationFile, 'validation_file')
  const validation = readExamples(validationFile, { ...options, param: 'validation_file' })
  return { training: all, validation, digests: { training: digestOf(file), validation: digestOf(validationFile) } }
}

/** Names of the labels that occur; none for generation. */
function labelsOf (examples: readonly Example[], { verbalizer }: TaskSpec): Set<string> {
  return new Set(verbalizer === null ? [] : examples.map(({ label }) => verbalizer.labels[label!]!.name))
}

async function readFile (objects: ObjectStore, tenant: string, id: string, param: string): Promise<Uint8Array> {
  const bytes = await objects.get(uploadKey(tenant, id))
  if (bytes === null) throw new ServiceError('file_not_found', `there is no file ${id}`, { param })
  return bytes
}
