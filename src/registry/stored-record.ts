/** JSON as it lies in Redis and in the store: every record says its schema, so that an older program does not misread a newer one. */
import type { TaskSpec } from '../prompt/task-spec.js'
import { checkTaskSchema, SCHEMA } from '../schema.js'

export function encodeRecord (record: object): string {
  return JSON.stringify({ schema: SCHEMA, ...record })
}

/**
 * @param what names the record in the error: `task snips`
 * @param taskOf the task that a record of this kind holds
 * @throws newer_schema
 */
export function decodeRecord<Value extends object> (what: string, json: string, taskOf: (record: Partial<Value>) => TaskSpec | undefined = () => undefined): Value {
  const { schema, ...record } = JSON.parse(json) as { schema?: unknown }
  checkTaskSchema(what, schema, taskOf(record as Partial<Value>))
  return record as Value
}
