/** The body of an inference call, and what of it belongs to which kind of task. */
import { randomInt } from 'node:crypto'
import { type Static, Type } from '@sinclair/typebox'
import { checkOutput, type Output, OutputSchema } from '../../constraint/output.js'
import { ServiceError } from '../../errors.js'
import { MAX_BEAMS, MAX_MEMBERS, type BeamWork, type Penalties, type SequenceRequest } from '../../inference/protocol.js'
import { closed } from '../wire.js'

export const MAX_INPUTS = 256
const DEFAULT_MAX_TOKENS = 128
const MAX_STOPS = 8
const MAX_SAMPLES = 16
const StopString = Type.String({ minLength: 1, maxLength: 200 })

const generationFields = {
  max_tokens: Type.Optional(Type.Integer({ minimum: 1, maximum: 131_072, description: `default ${DEFAULT_MAX_TOKENS}; what the context leaves, when that is less` })),
  temperature: Type.Optional(Type.Number({ minimum: 0, maximum: 2, description: 'default 0: greedy' })),
  top_p: Type.Optional(Type.Number({ exclusiveMinimum: 0, maximum: 1 })),
  top_k: Type.Optional(Type.Integer({ minimum: 0, description: '0: off' })),
  min_p: Type.Optional(Type.Number({ minimum: 0, maximum: 1 })),
  repetition_penalty: Type.Optional(Type.Number({ minimum: 0.01, maximum: 10, description: '1: none; scores of tokens of the input and of the answer so far are divided by it, negative ones multiplied' })),
  presence_penalty: Type.Optional(Type.Number({ minimum: -2, maximum: 2, description: '0: none; subtracted from the score of a token that the answer has' })),
  frequency_penalty: Type.Optional(Type.Number({ minimum: -2, maximum: 2, description: '0: none; subtracted for each time that the answer has the token' })),
  seed: Type.Optional(Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER, description: 'absent: a random one' })),
  n: Type.Optional(Type.Integer({ minimum: 1, maximum: MAX_SAMPLES, description: 'default 1; more: as many independent samples, or the best of so many beams, in `choices`' })),
  num_beams: Type.Optional(Type.Integer({ minimum: 1, maximum: MAX_BEAMS, description: 'default 1; more: beam search, instead of sampling' })),
  length_penalty: Type.Optional(Type.Number({ minimum: -10, maximum: 10, description: 'default 1; of beams: the sum of log-probabilities is divided by tokens^length_penalty' })),
  early_stopping: Type.Optional(Type.Union([Type.Boolean(), Type.Literal('never')], { description: 'default false; of beams: true ends when num_beams answers are there, false when no running beam is better now, "never" when none can become better' })),
  stop: Type.Optional(Type.Union([StopString, Type.Array(StopString, { minItems: 1, maxItems: MAX_STOPS })])),
  output: Type.Optional(OutputSchema),
  logprobs: Type.Optional(Type.Integer({ minimum: 0, maximum: 20, description: 'log-probability of each token, and of this many most likely ones beside it' })),
  stream: Type.Optional(Type.Boolean({ description: 'server-sent events: start, text, then finished or error' }))
}

export const InferRequestSchema = Type.Object({
  input: Type.Optional(Type.Union([Type.String(), Type.Record(Type.String(), Type.String())], { description: 'a text, or the fields of the template by name' })),
  // Items are checked one by one: a bad one gets its own error and does not fail the others.
  inputs: Type.Optional(Type.Array(Type.Unknown(), { minItems: 1, maxItems: MAX_INPUTS, description: 'many inputs in one call, each as `input`; answered in order, each with its own result or error' })),
  scores: Type.Optional(Type.Boolean({ description: 'classification: the probability of every label' })),
  ensemble: Type.Optional(Type.Array(Type.Integer({ minimum: 1, maximum: 9_999_999_999 }), { minItems: 2, maxItems: MAX_MEMBERS, uniqueItems: true, description: 'versions of the task that answer together, by the mean of their log-probabilities' })),
  chat: Type.Optional(Type.Boolean({ description: 'the bare base: put the input through its chat template, as a user\'s message' })),
  ...generationFields
}, { ...closed, title: 'InferRequest' })
export type InferRequest = Static<typeof InferRequestSchema>

export type Work = SequenceRequest['work']

/** What a beam search does not do, and what only it does. */
const NOT_OF_BEAMS = ['temperature', 'top_p', 'top_k', 'min_p', 'seed', 'repetition_penalty', 'presence_penalty', 'frequency_penalty', 'stop', 'output', 'logprobs', 'stream', 'ensemble'] as const
const ONLY_OF_BEAMS = ['length_penalty', 'early_stopping'] as const

/** @throws ServiceError `invalid_request` for an option of generation */
export function classificationWork (request: InferRequest): Work {
  for (const field of Object.keys(generationFields)) {
    if (request[field as keyof InferRequest] !== undefined) throw new ServiceError('invalid_request', `${field} is for generation, this task is classification`, { param: field })
  }
  return { kind: 'classify' }
}

/**
 * @param taskOutput what every answer of the task satisfies
 * @throws ServiceError `invalid_request` for an option of classification, or an output beside the task's own
 */
export function generationWork (request: InferRequest, stopTokenIds: readonly number[], taskOutput: Output | undefined): Work {
  if (request.scores !== undefined) throw new ServiceError('invalid_request', 'scores is for classification, this is generation', { param: 'scores' })
  if ((request.num_beams ?? 1) > 1) return beamWork(request, stopTokenIds, taskOutput)
  for (const field of ONLY_OF_BEAMS) if (request[field] !== undefined) throw new ServiceError('invalid_request', `${field} is for beam search: it needs num_beams above 1`, { param: field })
  if (samplesOf(request) > 1 && (request.temperature ?? 0) === 0) throw new ServiceError('invalid_request', 'a greedy answer is always the same: n above 1 needs a temperature above 0', { param: 'n' })
  return {
    kind: 'generate',
    maxTokens: request.max_tokens ?? DEFAULT_MAX_TOKENS,
    stopTokenIds: [...stopTokenIds],
    sampling: {
      temperature: request.temperature ?? 0,
      topK: request.top_k ?? 0,
      topP: request.top_p ?? 1,
      minP: request.min_p ?? 0,
      seed: request.seed ?? randomInt(2 ** 47)
    },
    ...penaltiesOf(request),
    ...outputOf(request, taskOutput),
    logprobs: request.logprobs ?? null
  }
}

function penaltiesOf ({ repetition_penalty: repetition = 1, presence_penalty: presence = 0, frequency_penalty: frequency = 0 }: InferRequest): { penalties?: Penalties } {
  return repetition === 1 && presence === 0 && frequency === 0 ? {} : { penalties: { repetition, presence, frequency } }
}

function outputOf ({ output }: InferRequest, taskOutput: Output | undefined): { output?: Output } {
  if (output !== undefined && taskOutput !== undefined) throw new ServiceError('invalid_request', 'the task has an output of its own', { param: 'output' })
  if (output !== undefined) checkOutput(output)
  const wanted = output ?? taskOutput
  return wanted === undefined ? {} : { output: wanted }
}

function beamWork (request: InferRequest, stopTokenIds: readonly number[], taskOutput: Output | undefined): BeamWork {
  const { num_beams: beams = 1, n: answers = 1, max_tokens: maxTokens = DEFAULT_MAX_TOKENS, length_penalty: lengthPenalty = 1, early_stopping: earlyStopping = false } = request
  for (const field of NOT_OF_BEAMS) {
    if (request[field] !== undefined && request[field] !== false) throw new ServiceError('invalid_request', `${field} is not for beam search: num_beams is ${beams}`, { param: field })
  }
  if (taskOutput !== undefined) throw new ServiceError('invalid_request', `the task has an output, which is not for beam search: num_beams is ${beams}`, { param: 'num_beams' })
  if (answers > beams) throw new ServiceError('invalid_request', `${answers} answers of ${beams} beams`, { param: 'n' })
  return { kind: 'beams', maxTokens, stopTokenIds: [...stopTokenIds], beams, answers, lengthPenalty, earlyStopping }
}

/** How often the input runs: a beam search takes it in once, whatever it answers. */
export function samplesOf ({ n = 1, num_beams: beams = 1 }: InferRequest): number {
  return beams > 1 ? 1 : n
}

export function stopStringsOf ({ stop }: InferRequest): readonly string[] {
  if (stop === undefined) return []
  return typeof stop === 'string' ? [stop] : stop
}
