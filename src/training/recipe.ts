/**
 * From what a client asked for to a recipe in which nothing is left open. Deterministic: the same request, task kind
 * and number of rows give the same recipe, and the answer to the client shows it.
 */
import { ServiceError } from '../errors.js'
import type { Method } from '../prompt/methods.js'
import type { TaskKind } from '../prompt/task-spec.js'
import type { CompletedMethod, Recipe, RecipeRequest, TrainingJobRequest } from './job.js'

const DEFAULT_METHOD: Method = 'prefix-tuning'

/** Over 16 (20 for text) a frozen base of 100-400 M gains little; prompt tuning, with one layer only, wants the 20. */
const NUM_VIRTUAL_TOKENS: Record<Method, Record<TaskKind, number>> = {
  'prefix-tuning': { classification: 16, generation: 20 },
  'prompt-tuning': { classification: 20, generation: 20 }
}

const BATCH_SIZE: Record<TaskKind, number> = { classification: 16, generation: 8 }

const LEARNING_RATE: Record<Method, number> = { 'prefix-tuning': 5e-3, 'prompt-tuning': 3e-3 }

/**
 * A thousand rows are learnt by heart in two passes; rows that differ each time they are seen keep the prompt from leaning
 * on single words (word dropout, Iyyer et al. 2015, section 3.1). What is to be rewritten must be read whole.
 */
const TOKEN_DROPOUT: Record<TaskKind, number> = { classification: 0.1, generation: 0 }

/**
 * Measured with a per-layer prefix: one to four epochs are enough, and 250 to 650 steps reach what full fine-tuning
 * reaches. So two passes, but never fewer steps than a cosine needs nor more than the last points are worth.
 */
const PASSES = 2
const MIN_STEPS = 250
const MAX_STEPS = 650
/** What `max_length` accepts at least. */
const MIN_LENGTH = 8
/** A few dozen rows are learnt by heart long before 250 steps. */
const MAX_EPOCHS = 64

export interface RecipeContext {
  readonly kind: TaskKind
  /** Rows that are trained on, the validation split taken off (`validationRows`). */
  readonly rows: number
  /** Positions the base takes, virtual tokens included; absent: no limit. */
  readonly contextLength?: number
  /** Tokens of one backward pass that a worker has the memory for; absent: no limit. */
  readonly maxMicroBatchTokens?: number
}

/** How many rows are split off for validation when no validation file is given: a tenth, at most 500, at least one. */
export function validationRows (rows: number): number {
  return Math.min(500, Math.max(1, Math.floor(rows / 10)))
}

/**
 * Fill in the defaults of method and kind. `max_steps` follows from `epochs` and the other way round; given both, the
 * smaller run wins, and the recipe says both as they will happen.
 * @throws invalid_request when virtual tokens and `max_length` together exceed the base's context, or when a backward pass
 *   of `micro_batch_tokens` or of one row of `max_length` is more than a worker has the memory for
 */
export function completeRecipe (request: Pick<TrainingJobRequest, 'method' | 'recipe'>, context: RecipeContext): { method: CompletedMethod, recipe: Recipe } {
  const type = request.method?.type ?? DEFAULT_METHOD
  const method: CompletedMethod = {
    type,
    num_virtual_tokens: request.method?.num_virtual_tokens ?? NUM_VIRTUAL_TOKENS[type][context.kind],
    init: request.method?.init ?? { type: 'text' }
  }
  const asked: RecipeRequest = Object.fromEntries(Object.entries(request.recipe ?? {}).filter(([, value]) => value !== undefined))
  const optimizer = asked.optimizer ?? 'adamw'
  const batchSize = asked.batch_size ?? BATCH_SIZE[context.kind]
  const room = roomForText(method, asked, context.contextLength)
  const memory = context.maxMicroBatchTokens ?? Infinity
  for (const name of ['micro_batch_tokens', 'max_length'] as const) {
    const tokens = asked[name]
    if (tokens !== undefined && tokens > memory) throw new ServiceError('invalid_request', `${name} ${tokens}, limit ${memory}: the workers of this service have the memory for no more`, { param: `recipe/${name}` })
  }
  const recipe: Recipe = {
    ...optimizerDefaults(optimizer, type),
    label_learning_rate: context.kind === 'classification' ? 5e-3 : 0,
    max_grad_norm: 1,
    micro_batch_tokens: Math.min(1024, memory),
    max_length: Math.min(512, room, memory),
    token_dropout: TOKEN_DROPOUT[context.kind],
    evaluations: 4,
    patience: 0,
    seed: 0,
    ...asked,
    optimizer,
    batch_size: batchSize,
    ...runLength(asked, batchSize, context)
  }
  return { method, recipe }
}

/** Positions that the virtual tokens leave. */
function roomForText (method: CompletedMethod, asked: RecipeRequest, contextLength: number | undefined): number {
  if (contextLength === undefined) return Infinity
  const room = contextLength - method.num_virtual_tokens
  if (room < MIN_LENGTH) {
    throw new ServiceError('invalid_request', `${method.num_virtual_tokens} virtual tokens leave ${room} of the base's ${contextLength} positions, at least ${MIN_LENGTH} are needed`, { param: 'method/num_virtual_tokens' })
  }
  if (asked.max_length !== undefined && asked.max_length > room) {
    throw new ServiceError('invalid_request', `max_length ${asked.max_length} and ${method.num_virtual_tokens} virtual tokens exceed the base's ${contextLength} positions`, { param: 'recipe/max_length' })
  }
  return room
}

/** Adafactor as the prompt-tuning paper runs it (Lester et al. 2021, section 3): constant 0.3, no warm-up, weight decay 1e-5. */
function optimizerDefaults (optimizer: Recipe['optimizer'], method: Method): Pick<Recipe, 'learning_rate' | 'weight_decay' | 'schedule' | 'warmup_ratio'> {
  return optimizer === 'adafactor'
    ? { learning_rate: 0.3, weight_decay: 1e-5, schedule: 'constant', warmup_ratio: 0 }
    : { learning_rate: LEARNING_RATE[method], weight_decay: 0, schedule: 'cosine', warmup_ratio: 0.06 }
}

function runLength (asked: RecipeRequest, batchSize: number, { kind, rows }: RecipeContext): Pick<Recipe, 'epochs' | 'max_steps'> {
  const epochsAsSteps = asked.epochs === undefined ? undefined : stepsOf(asked.epochs * rows, batchSize)
  const steps = epochsAsSteps === undefined && asked.max_steps === undefined
    ? stepsOf(defaultRows(kind, rows), batchSize)
    : Math.min(epochsAsSteps ?? Infinity, asked.max_steps ?? Infinity)
  const epochs = steps === epochsAsSteps && asked.epochs !== undefined ? asked.epochs : steps * batchSize / rows
  return { epochs, max_steps: steps }
}

/** Rows seen in all, counted in the kind's own batch so that another `batch_size` sees the same rows. */
function defaultRows (kind: TaskKind, rows: number): number {
  const batch = BATCH_SIZE[kind]
  return Math.min(Math.max(PASSES * rows, MIN_STEPS * batch), MAX_STEPS * batch, MAX_EPOCHS * rows)
}

function stepsOf (rowsSeen: number, batchSize: number): number {
  return Math.max(1, Math.ceil(rowsSeen / batchSize))
}
