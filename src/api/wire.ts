/** Pieces of the wire format that several routes share. */
import { type TSchema, Type } from '@sinclair/typebox'
import { ErrorBodySchema } from './errors.js'

export const closed = { additionalProperties: false }

export const Timestamp = Type.String({ description: 'ISO 8601, UTC' })
export const DigestText = Type.String({ description: 'sha256: and 64 hexadecimal digits' })

export function listOf<T extends TSchema> (item: T) {
  return Type.Object({ data: Type.Array(item) })
}

/** Every refusal has the one error shape. */
export const refusals = { '4xx': ErrorBodySchema, '5xx': ErrorBodySchema } as const

export const NoQuery = Type.Object({}, closed)

export function pathParameters<const Names extends readonly string[]> (...names: Names) {
  return Type.Object(Object.fromEntries(names.map(name => [name, Type.String({ minLength: 1 })])) as { [Name in Names[number]]: ReturnType<typeof Type.String> })
}
