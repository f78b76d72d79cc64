/** The results of one sequence as the wire shows them. */
import { type Static, type TObject, Type } from '@sinclair/typebox'
import type { Digest } from '../../digest.js'
import type { Timing } from '../../inference/protocol.js'
import { ErrorSchema } from '../errors.js'
import type { PromptedModel } from './prompted-model.js'

const UsageSchema = Type.Object({
  prompt_tokens: Type.Integer({ description: 'of the rendered template' }),
  virtual_tokens: Type.Integer(),
  completion_tokens: Type.Integer({ description: 'generated, those of a stop string and of dropped beams included' })
}, { description: 'of all members of an ensemble, each of which runs every token' })
export type Usage = Static<typeof UsageSchema>

const TimingSchema = Type.Object({
  queue: Type.Optional(Type.Number()),
  prefill: Type.Optional(Type.Number()),
  decode: Type.Optional(Type.Number()),
  total: Type.Number({ description: 'as the api saw it; the only one when a stop string ended the run, and for several samples' })
}, { description: 'milliseconds' })

export const TokenLogprobSchema = Type.Object({
  token: Type.String(),
  logprob: Type.Number(),
  top: Type.Array(Type.Object({ token: Type.String(), logprob: Type.Number() }))
})
export type TokenLogprob = Static<typeof TokenLogprobSchema>

const ChoiceSchema = Type.Object({
  text: Type.String({ description: 'generation' }),
  finish_reason: Type.Union([Type.Literal('stop'), Type.Literal('length')]),
  logprobs: Type.Optional(Type.Array(TokenLogprobSchema)),
  score: Type.Optional(Type.Number({ description: 'beam search: sum of log-probabilities / tokens^length_penalty' }))
})
export type Choice = Static<typeof ChoiceSchema>

export const OutcomeSchema = Type.Object({
  label: Type.Optional(Type.String({ description: 'classification' })),
  scores: Type.Optional(Type.Record(Type.String(), Type.Number(), { description: 'probability by label' })),
  ...Type.Partial(ChoiceSchema).properties,
  choices: Type.Optional(Type.Array(ChoiceSchema, { description: 'of `n` above 1, instead of `text`' })),
  usage: UsageSchema,
  timing_ms: TimingSchema
})
export type Outcome = Static<typeof OutcomeSchema>

const headFields = {
  id: Type.String(),
  task: Type.String(),
  version: Type.Union([Type.Integer(), Type.Null()], { description: 'null for the bare base and for an ensemble' }),
  digest: Type.Union([Type.String(), Type.Null()], { description: 'of the artifact that answered; of the base itself when it is bare; null for an ensemble' }),
  method: Type.Union([Type.String(), Type.Null()]),
  ensemble: Type.Optional(Type.Array(Type.Object({ version: Type.Integer(), digest: Type.String(), method: Type.String() }), { description: 'who answered together, by version' }))
}
export type AnswerHead = Static<TObject<typeof headFields>>

export function answerHead (id: string, { task, versions }: PromptedModel, base: Digest): AnswerHead {
  const members = versions.map(({ number, digest, method }) => ({ version: number, digest, method }))
  const [first, ...others] = members
  if (first === undefined) return { id, task, version: null, digest: base, method: null }
  if (others.length === 0) return { id, task, ...first }
  return { id, task, version: null, digest: null, method: null, ensemble: members }
}

/** One answer, or with `inputs` the `results` in their order; `usage` is then the sum. */
export const InferAnswerSchema = Type.Object({
  ...headFields,
  ...Type.Partial(OutcomeSchema).properties,
  results: Type.Optional(Type.Array(Type.Object({ ...Type.Partial(OutcomeSchema).properties, error: Type.Optional(ErrorSchema) }))),
  usage: UsageSchema
}, { title: 'InferAnswer' })

export function timingOf (startedAt: number, timing: Timing | null): Static<typeof TimingSchema> {
  const total = rounded(performance.now() - startedAt)
  return timing === null ? { total } : { queue: rounded(timing.queueMs), prefill: rounded(timing.prefillMs), decode: rounded(timing.decodeMs), total }
}

/** Microseconds are noise. */
function rounded (milliseconds: number): number {
  return Math.round(milliseconds * 100) / 100
}
