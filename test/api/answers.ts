/** What the api answers, by the schemas that it documents itself with. */
import type { Static } from '@sinclair/typebox'
import { Value } from '@sinclair/typebox/value'
import { ErrorBodySchema } from '../../src/api/errors.js'
import type { AnswerHead, InferAnswerSchema } from '../../src/api/infer/outcome.js'
import type { GenerationPart } from '../../src/api/infer/run-generation.js'
import type { AliasSchema, MoveSchema } from '../../src/api/routes/aliases.js'
import type { BaseSchema } from '../../src/api/routes/bases.js'
import type { FileSchema } from '../../src/api/routes/files.js'
import type { KeySchema, NewKeySchema } from '../../src/api/routes/keys.js'
import type { ReadySchema } from '../../src/api/routes/service.js'
import type { TaskSchema } from '../../src/api/routes/tasks.js'
import type { JobSchema } from '../../src/api/routes/training-jobs.js'
import type { VersionSchema } from '../../src/api/routes/versions.js'
import type { JobRecord } from '../../src/registry/registry.js'
import type { ReceivedEvent } from './server-sent-events.js'

export type Alias = Static<typeof AliasSchema>
export type AliasMove = Static<typeof MoveSchema>
export type Base = Static<typeof BaseSchema>
export type File = Static<typeof FileSchema>
export type Key = Static<typeof KeySchema>
export type NewKey = Static<typeof NewKeySchema>
export type Readiness = Static<typeof ReadySchema>
export type Task = Static<typeof TaskSchema>
export type Version = Static<typeof VersionSchema>
export type InferAnswer = Static<typeof InferAnswerSchema>
export type ErrorBody = Static<typeof ErrorBodySchema>

/** The schema says of method and recipe only that they are objects. */
export type Job = Static<typeof JobSchema> & Pick<JobRecord, 'method' | 'recipe'>

export interface List<T> { readonly data: T[] }

type EventOf<Part> = Part extends { readonly type: infer Name extends string } ? ReceivedEvent<Name, Omit<Part, 'type'>> : never

/** An event of an answer that is streamed. */
export type InferEvent = ReceivedEvent<'start', AnswerHead> | EventOf<GenerationPart> | ReceivedEvent<'error', ErrorBody>

/** Of a refusal. @throws Error when the body is not what every refusal has to look like */
export function errorOf ({ body }: { readonly body: unknown }): ErrorBody['error'] {
  if (!Value.Check(ErrorBodySchema, body) || body.error.message === '') throw new Error(`not an error body: ${JSON.stringify(body)}`)
  return body.error
}
