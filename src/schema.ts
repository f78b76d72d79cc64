/**
 * The schema of everything that is stored: records in Redis, jobs in the queue, objects in the store, bases. What a newer
 * version has written is refused by its name, never read as if it were today's.
 */
import { ServiceError } from './errors.js'

/** Raised when a version begins to write what the last one would misread. `test/stored-version-1` holds all that schema 1 wrote. */
export const SCHEMA = 1

/**
 * Of a record that holds a task with an `output`: the last version would answer without it. All others stay as they
 * were, so that older processes go on with them.
 */
export const OUTPUT_SCHEMA = 2

/** What a record says of the task it holds. */
interface HeldTask { readonly output?: unknown }

/** For a record that holds a task. */
export function schemaOf (task: HeldTask): typeof SCHEMA | typeof OUTPUT_SCHEMA {
  return task.output === undefined ? SCHEMA : OUTPUT_SCHEMA
}

/**
 * @param what names the record in the error: `task snips`
 * @throws newer_schema when a newer version wrote it; Error when no version did
 */
export function checkSchema (what: string, schema: unknown): void {
  refuseNewerSchema(what, schema)
  if (Number(schema) !== SCHEMA) throw new Error(`${what} is stored with schema ${String(schema)}, which no version has`)
}

/** @param task that the record holds; undefined: none. @throws as `checkSchema` */
export function checkTaskSchema (what: string, schema: unknown, task: HeldTask | undefined): void {
  if (task === undefined || task.output === undefined || schema !== OUTPUT_SCHEMA) checkSchema(what, schema)
}

/** For what is checked in other ways too. @throws newer_schema */
export function refuseNewerSchema (what: string, schema: unknown): void {
  const number = Number(schema)
  if (!Number.isInteger(number) || number <= SCHEMA) return
  throw new ServiceError('newer_schema', `${what} is stored with schema ${number}, this version of Permafrost reads schema ${SCHEMA}`)
}

export function isOfNewerSchema (error: unknown): error is ServiceError {
  return error instanceof ServiceError && error.code === 'newer_schema'
}
