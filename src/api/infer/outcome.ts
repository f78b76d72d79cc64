/** The results of one sequence as the wire shows them. */
import { type Static, Type } from '@sinclair/typebox'
import type { Timing } from '../../inference/protocol.js'
import { ErrorSchema } from '../errors.js'

const UsageSchema = Type.Object({
  prompt_tokens: Type.Integer({ description: 'of the rendered template' }),
  virtual_tokens: Type.Integer(),
  completion_tokens: Type.Integer({ description: 'generated, those of a stop string and of dropped beams included' })
})
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
  version: Type.Union([Type.Integer(), Type.Null()], { description: 'null for the bare base' }),
  digest: Type.String({ description: 'of the artifact that answered; of the base itself when it is bare' }),
  method: Type.Union([Type.String(), Type.Null()])
}
export interface AnswerHead { readonly id: string, readonly task: string, readonly version: number | null, readonly digest: string, readonly method: string | null }

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
