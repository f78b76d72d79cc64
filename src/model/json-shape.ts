/** Reading untrusted JSON one field at a time, so that every refusal names the field, what was found and what is possible. */
import { MalformedModelError } from '../errors.js'

export type JsonObject = Readonly<Record<string, unknown>>

/** Text from the file as it may be printed: quoted, control characters escaped, length bounded. */
export function quoted (text: string): string {
  const escaped = JSON.stringify(text.length > 100 ? `${text.slice(0, 100)}…` : text).slice(1, -1)
  return `'${escaped.replaceAll('\\"', '"')}'`
}

function found (value: unknown): string {
  if (value === undefined) return 'nothing'
  if (value === null) return 'null'
  if (Array.isArray(value)) return 'an array'
  if (typeof value === 'string') return `the text ${quoted(value)}`
  return typeof value === 'object' ? 'an object' : String(value)
}

export function objectAt (value: unknown, place: string): JsonObject {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw new MalformedModelError(`${place} must be an object, found ${found(value)}`)
  return value as JsonObject
}

export function listAt (value: unknown, place: string, maxLength: number): readonly unknown[] {
  if (!Array.isArray(value)) throw new MalformedModelError(`${place} must be an array, found ${found(value)}`)
  if (value.length > maxLength) throw new MalformedModelError(`${place} has ${value.length} entries, limit ${maxLength}`)
  return value
}

export function textAt (value: unknown, place: string, maxLength: number): string {
  if (typeof value !== 'string') throw new MalformedModelError(`${place} must be a string, found ${found(value)}`)
  if (value.length > maxLength) throw new MalformedModelError(`${place} is ${value.length} characters long, limit ${maxLength}`)
  return value
}

export function integerAt (value: unknown, place: string, min: number, max: number): number {
  if (typeof value !== 'number' || !Number.isInteger(value)) throw new MalformedModelError(`${place} must be an integer, found ${found(value)}`)
  if (value < min || value > max) throw new MalformedModelError(`${place} is ${value}; ${min} to ${max} is possible`)
  return value
}

/** Absent and null read as `fallback`. */
export function flagAt (value: unknown, place: string, fallback: boolean): boolean {
  if (value === undefined || value === null) return fallback
  if (typeof value !== 'boolean') throw new MalformedModelError(`${place} must be true or false, found ${found(value)}`)
  return value
}
