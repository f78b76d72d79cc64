/**
 * What a task is, apart from its prompt: how fields become text and how an answer becomes a label. Chosen when the task
 * is created and never changed afterwards, copied into every artifact.
 */
import { type Static, Type } from '@sinclair/typebox'
import { OutputSchema } from '../constraint/output.js'

export const TASK_KINDS = ['classification', 'generation'] as const
export const TaskKindSchema = Type.Union(TASK_KINDS.map(kind => Type.Literal(kind)))
export type TaskKind = Static<typeof TaskKindSchema>

/**
 * A label and the one token that stands for it when the verbalizer is of tokens; `piece` is that token as text.
 * With label vectors the token is kept for display and as the fallback without a prompt.
 */
export const LabelSchema = Type.Object({
  name: Type.String({ minLength: 1 }),
  tokenId: Type.Integer({ minimum: 0 }),
  piece: Type.String(),
  /** All tokens of " " + name: the initial label vector is the mean of their head rows. */
  tokenIds: Type.Array(Type.Integer({ minimum: 0 }), { minItems: 1 })
}, { additionalProperties: false })
export type Label = Static<typeof LabelSchema>

export const TaskSpecSchema = Type.Object({
  kind: TaskKindSchema,
  /** `{name}` is a field, `{{` and `}}` are braces; the answer follows the last character. */
  template: Type.String({ minLength: 1, maxLength: 10_000 }),
  /** Null for generation. */
  verbalizer: Type.Union([
    Type.Null(),
    Type.Object({ type: Type.Union([Type.Literal('vectors'), Type.Literal('tokens')]), labels: Type.Array(LabelSchema, { minItems: 2, maxItems: 1000 }) }, { additionalProperties: false })
  ]),
  /** Of generation; absent: any text. */
  output: Type.Optional(OutputSchema)
}, { additionalProperties: false })
export type TaskSpec = Static<typeof TaskSpecSchema>
