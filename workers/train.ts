/**
 * One training job from its files to a durable artifact. It knows neither Redis nor threads: who runs it publishes the
 * artifact and decides what an error means.
 */
import type { Digest } from '../src/digest.js'
import { ServiceError } from '../src/errors.js'
import type { Base } from '../src/model/base.js'
import type { LlamaConfig } from '../src/model/llama-config.js'
import type { Tokenizer } from '../src/model/tokenizer.js'
import { writeArtifact } from '../src/prompt/artifact-files.js'
import { promptColumns } from '../src/prompt/peft.js'
import type { Stores } from '../src/registry/store/open-stores.js'
import { schemaOf } from '../src/schema.js'
import { type JobProgressEvent, recipeOf, type TrainingJobData } from '../src/training/job.js'
import { BaseWeights } from './base-weights.js'
import { CheckpointStore } from './checkpoint.js'
import { longestOf } from './example.js'
import { initialLabelVectors, initialPrompt, type InitialPromptOptions, labelTokenRows } from './initialise.js'
import { JobStopped } from './job-stopped.js'
import { trainingLoop } from './loop.js'
import type { Parameter } from './parameter.js'
import { OnnxTrainingModel } from './session.js'
import { readTrainingFiles, type TrainingFiles } from './training-files.js'
import type { Metrics } from './training-model.js'
import { type Best, initialState, type TrainingState } from './training-state.js'

export interface TrainingDependencies {
  readonly stores: Stores
  readonly base: Base
  readonly tokenizer: Tokenizer
  /** Intra-op threads of ONNX Runtime. */
  readonly threads: number
  readonly emit: (event: JobProgressEvent) => void
  /** Fires with a `JobStopped`. */
  readonly signal: AbortSignal
  readonly checkpointEveryMs?: number
}

export interface TrainedPrompt { readonly digest: Digest, readonly metrics: Metrics }

/** The most work that a killed worker loses, evaluations aside. */
const CHECKPOINT_EVERY_MS = 20_000

/**
 * Goes on from the job's checkpoint when there is one. Rejects with the signal's reason; the state is saved first when
 * the worker stops.
 * @throws ServiceError for data or a recipe that cannot succeed; newer_schema for a checkpoint that only a newer worker reads
 */
export async function trainPrompt (data: TrainingJobData, dependencies: TrainingDependencies): Promise<TrainedPrompt> {
  const { stores, base, tokenizer, threads, emit, signal, checkpointEveryMs = CHECKPOINT_EVERY_MS } = dependencies
  const { spec } = data
  const recipe = recipeOf(data)
  const { config } = base.manifest
  if (data.base !== base.manifest.digest) {
    throw new ServiceError('wrong_base', `the job is for base ${data.base}, this worker has ${base.manifest.digest}`, { param: 'task' })
  }
  const files = await readTrainingFiles(stores.objects, data, base.manifest, tokenizer)
  const checkpoints = new CheckpointStore(stores.objects, data)
  const weights = new BaseWeights(base.folder)
  let model: OnnxTrainingModel | null = null
  try {
    signal.throwIfAborted()
    const state = await checkpoints.load() ?? initialState(await initialParameters(data, config, { weights, tokenizer, threads, signal }), recipe)
    model = await OnnxTrainingModel.open({
      method: data.method.type, numVirtualTokens: data.method.num_virtual_tokens, config, weights, threads,
      labelMatrix: labelMatrix(data, config, weights),
      validation: files.validation,
      longest: Math.max(longestOf(files.training), longestOf(files.validation)),
      microBatchTokens: recipe.micro_batch_tokens
    })
    const checkpoint = async (current: TrainingState): Promise<void> => { await checkpoints.save(current) }
    try {
      const best = await trainingLoop({ kind: spec.kind, recipe, examples: files.training, model, state, checkpoint, checkpointEveryMs, emit, now: () => performance.now(), signal })
      return await storeArtifact(data, dependencies, files, best)
    } catch (error) {
      if (error instanceof JobStopped && error.reason === 'worker_stops') await checkpoints.save(state)
      throw error
    }
  } finally {
    await model?.close()
    weights.close()
  }
}

async function initialParameters ({ method, spec, recipe }: TrainingJobData, config: LlamaConfig, options: Pick<InitialPromptOptions, 'weights' | 'tokenizer' | 'threads' | 'signal'>): Promise<Parameter[]> {
  const values = await initialPrompt({ ...options, method, spec, config, seed: recipe.seed })
  const prompt: Parameter = { name: 'prompt', dims: [method.num_virtual_tokens, promptColumns(method.type, config)], values }
  if (spec.verbalizer?.type !== 'vectors') return [prompt]
  const { labels } = spec.verbalizer
  return [prompt, { name: 'label_vectors', dims: [labels.length, config.hiddenSize], values: initialLabelVectors(labels, config, options.weights) }]
}

function labelMatrix ({ spec: { verbalizer } }: TrainingJobData, config: LlamaConfig, weights: BaseWeights): { rows: number, fixed: Float32Array | null } | null {
  if (verbalizer === null) return null
  return { rows: verbalizer.labels.length, fixed: verbalizer.type === 'tokens' ? labelTokenRows(verbalizer.labels, config, weights) : null }
}

async function storeArtifact (data: TrainingJobData, { stores, base }: TrainingDependencies, files: TrainingFiles, best: Best): Promise<TrainedPrompt> {
  const { method, spec } = data
  const [embeddings, labelVectors = null] = best.values
  if (embeddings === undefined) throw new Error('internal: a prompt without values')
  const artifact = writeArtifact({
    embeddings,
    labelVectors,
    manifest: {
      schema: schemaOf(spec),
      base: data.base,
      method: method.type,
      numVirtualTokens: method.num_virtual_tokens,
      task: spec,
      recipe: { ...recipeOf(data), init: method.init },
      data: { ...files.digests, rows: files.training.length },
      metrics: best.metrics,
      seed: data.recipe.seed,
      job: data.job,
      createdAt: new Date().toISOString()
    }
  }, base.manifest)
  return { digest: await stores.artifacts.put(artifact), metrics: best.metrics }
}
