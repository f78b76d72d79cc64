/** The contract of a training job: what a client may ask for, what the completed recipe is, what a job goes through. */
import { type Static, Type } from '@sinclair/typebox'
import type { Digest } from '../digest.js'
import { METHODS } from '../prompt/methods.js'
import type { TaskSpec } from '../prompt/task-spec.js'
import type { OUTPUT_SCHEMA, SCHEMA } from '../schema.js'

/** Name of the BullMQ queue; one BullMQ job for each training job, with the same id. */
export const TRAINING_QUEUE = 'training'

export const JOB_STATES = ['queued', 'running', 'paused', 'succeeded', 'failed', 'cancelled'] as const
export type JobState = typeof JOB_STATES[number]
export const FINAL_STATES: readonly JobState[] = ['succeeded', 'failed', 'cancelled']

const closed = { additionalProperties: false }

export const InitSchema = Type.Union([
  Type.Object({ type: Type.Literal('random') }, closed),
  Type.Object({ type: Type.Literal('vocabulary') }, closed),
  /** Absent text: made from the task ("Classify the text into one of: ..."). */
  Type.Object({ type: Type.Literal('text'), text: Type.Optional(Type.String({ minLength: 1, maxLength: 10_000 })) }, closed)
])
export type Init = Static<typeof InitSchema>

export const MethodRequestSchema = Type.Object({
  type: Type.Union(METHODS.map(method => Type.Literal(method))),
  num_virtual_tokens: Type.Optional(Type.Integer({ minimum: 1, maximum: 150 })),
  init: Type.Optional(InitSchema)
}, closed)

export const OPTIMIZERS = ['adamw', 'adafactor'] as const
export const SCHEDULES = ['cosine', 'constant'] as const

/** Hyper-parameters by their standard names; every one has a default by method and kind (`training/recipe.ts`). */
export const RecipeRequestSchema = Type.Partial(Type.Object({
  optimizer: Type.Union(OPTIMIZERS.map(name => Type.Literal(name))),
  learning_rate: Type.Number({ exclusiveMinimum: 0, maximum: 10 }),
  /** Rate of the label vectors. */
  label_learning_rate: Type.Number({ minimum: 0, maximum: 10 }),
  weight_decay: Type.Number({ minimum: 0, maximum: 1 }),
  schedule: Type.Union(SCHEDULES.map(name => Type.Literal(name))),
  warmup_ratio: Type.Number({ minimum: 0, maximum: 1 }),
  max_grad_norm: Type.Number({ exclusiveMinimum: 0 }),
  batch_size: Type.Integer({ minimum: 1, maximum: 1024 }),
  /** Optimizer steps; absent: from `epochs`. */
  max_steps: Type.Integer({ minimum: 1, maximum: 1_000_000 }),
  epochs: Type.Number({ exclusiveMinimum: 0, maximum: 10_000 }),
  /** Real tokens of one micro-batch: bounds memory and is the unit of pre-emption. */
  micro_batch_tokens: Type.Integer({ minimum: 16, maximum: 65_536 }),
  /** Longer rows are cut from the left of the input; targets are never cut. */
  max_length: Type.Integer({ minimum: 8, maximum: 8192 }),
  /** Share of the input's tokens that a training step leaves out, drawn anew each time a row is seen. */
  token_dropout: Type.Number({ minimum: 0, maximum: 0.9 }),
  evaluations: Type.Integer({ minimum: 1, maximum: 1000 }),
  /** Evaluations without improvement before the run ends; 0: never. */
  patience: Type.Integer({ minimum: 0, maximum: 1000 }),
  seed: Type.Integer({ minimum: 0, maximum: 2 ** 31 - 1 })
}, closed))
export type RecipeRequest = Static<typeof RecipeRequestSchema>
export type Recipe = Readonly<Required<RecipeRequest>>

/** Jobs of before a hyper-parameter was there lack it; `recipeOf` gives it the value that changes nothing. */
export type StoredRecipe = Omit<Recipe, 'token_dropout'> & Partial<Pick<Recipe, 'token_dropout'>>

export const AliasNameSchema = Type.String({ pattern: '^[a-z][a-z0-9_-]{0,62}$' })

export const TrainingJobRequestSchema = Type.Object({
  task: Type.String({ minLength: 1 }),
  training_file: Type.String({ minLength: 1 }),
  validation_file: Type.Optional(Type.String({ minLength: 1 })),
  method: Type.Optional(MethodRequestSchema),
  recipe: Type.Optional(RecipeRequestSchema),
  publish: Type.Optional(Type.Union([Type.Literal(false), Type.Object({ alias: AliasNameSchema }, closed)]))
}, closed)
export type TrainingJobRequest = Static<typeof TrainingJobRequestSchema>

export interface CompletedMethod { readonly type: typeof METHODS[number], readonly num_virtual_tokens: number, readonly init: Init }

/** What the queue carries: everything a worker on another machine needs, Redis and the store aside. */
export interface TrainingJobData {
  readonly schema: typeof SCHEMA | typeof OUTPUT_SCHEMA
  readonly job: string
  readonly tenant: string
  readonly task: string
  readonly spec: TaskSpec
  readonly base: Digest
  readonly trainingFile: string
  readonly validationFile: string | null
  readonly method: CompletedMethod
  readonly recipe: StoredRecipe
  /** Alias that is moved to the new version; null: none. */
  readonly alias: string | null
}

/** The recipe of a job that any version of this schema has stored. */
export function recipeOf ({ recipe }: Pick<TrainingJobData, 'recipe'>): Recipe {
  return { token_dropout: 0, ...recipe }
}

/** Redis takes numbers of 64 bits; a clock in milliseconds needs 13 digits, and 18 always fit. */
export const JOB_EVENT_ID = /^\d{1,18}(-\d{1,18})?$/

/** One line of a job's event stream; the Redis stream id is the SSE id. Losses in nats per label. */
export type JobEvent =
  | { readonly type: 'state', readonly state: JobState, readonly reason?: string }
  | { readonly type: 'step', readonly step: number, readonly steps: number, readonly loss: number, readonly learning_rate: number, readonly grad_norm: number, readonly tokens_per_second: number, readonly eta_seconds: number }
  | { readonly type: 'evaluation', readonly step: number, readonly metrics: Readonly<Record<string, number>>, readonly best: boolean }
  | { readonly type: 'checkpoint', readonly step: number }
  | { readonly type: 'published', readonly version: number, readonly digest: Digest, readonly alias: string | null }
  | { readonly type: 'error', readonly code: string, readonly message: string }

/** What a worker appends itself. `state` comes with `setJobState` and `published` with `publishVersion`, each in the script that makes it true. */
export type JobProgressEvent = Exclude<JobEvent, { type: 'state' | 'published' }>
