/** What an answer has to satisfy: on the wire, in the records of a task, in its artifacts and between the processes. */
import { type Static, Type } from '@sinclair/typebox'
import { ServiceError } from '../errors.js'

/** Of the whole as JSON. */
export const MAX_OUTPUT_BYTES = 32_768
export const MAX_CHOICES = 1000
const MAX_CHOICE_LENGTH = 1000
const MAX_REGEX_LENGTH = 2000

export const OutputSchema = Type.Object({
  json_schema: Type.Optional(Type.Object({}, { additionalProperties: true, description: 'the answer is JSON that this schema accepts' })),
  choices: Type.Optional(Type.Array(Type.String({ minLength: 1, maxLength: MAX_CHOICE_LENGTH }), { minItems: 1, maxItems: MAX_CHOICES, description: 'the answer is one of these texts' })),
  regex: Type.Optional(Type.String({ minLength: 1, maxLength: MAX_REGEX_LENGTH, description: 'the whole answer matches this regular expression (JavaScript, flag u)' }))
}, { additionalProperties: false, description: 'what a generated answer satisfies when it ends by itself: exactly one of json_schema, choices and regex' })
export type Output = Static<typeof OutputSchema>

/** What its schema does not say. @throws ServiceError `invalid_request` at `output` */
export function checkOutput (output: Output): void {
  const kinds = Object.keys(output)
  if (kinds.length !== 1) throw refusedOutput('', `output has exactly one of json_schema, choices and regex, found ${kinds.length === 0 ? 'none' : kinds.join(' and ')}`)
  const bytes = Buffer.byteLength(JSON.stringify(output))
  if (bytes > MAX_OUTPUT_BYTES) throw refusedOutput('', `output has ${bytes} bytes, limit ${MAX_OUTPUT_BYTES}`)
}

/** @param place behind `output`, with its leading slash; '' is the whole */
export function refusedOutput (place: string, message: string): ServiceError {
  return new ServiceError('invalid_request', message, { param: `output${place}` })
}
