/** JSON as it lies in Redis and in the store: every record says its schema, so that an older program does not misread a newer one. */
const SCHEMA = 1

/** The record was written by a newer Permafrost: reading it as schema 1 could lose what the newer one added. */
export class UnknownSchemaError extends Error { override readonly name = 'UnknownSchemaError' }

export function encodeRecord (record: object): string {
  return JSON.stringify({ schema: SCHEMA, ...record })
}

/** @param what names the record in the error: `task snips`. @throws UnknownSchemaError */
export function decodeRecord<Value extends object> (what: string, json: string): Value {
  const { schema, ...record } = JSON.parse(json) as { schema?: unknown }
  checkSchema(what, schema)
  return record as Value
}

/** @throws UnknownSchemaError */
export function checkSchema (what: string, schema: unknown): void {
  if (Number(schema) !== SCHEMA) throw new UnknownSchemaError(`${what} is stored with schema ${String(schema)}, this version of Permafrost reads schema ${SCHEMA}`)
}
