/** JSON as it lies in Redis and in the store: every record says its schema, so that an older program does not misread a newer one. */
import { checkSchema, SCHEMA } from '../schema.js'

export function encodeRecord (record: object): string {
  return JSON.stringify({ schema: SCHEMA, ...record })
}

/** @param what names the record in the error: `task snips`. @throws newer_schema */
export function decodeRecord<Value extends object> (what: string, json: string): Value {
  const { schema, ...record } = JSON.parse(json) as { schema?: unknown }
  checkSchema(what, schema)
  return record as Value
}
