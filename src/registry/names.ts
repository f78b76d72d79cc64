/** Names that a registry accepts, and the one way to read a reference to a prompt. */
import { Value } from '@sinclair/typebox/value'
import { ServiceError } from '../errors.js'
import { AliasNameSchema } from '../training/job.js'

export const PRODUCTION = 'production'
/** Of an operator who does not ask for several. */
export const DEFAULT_TENANT = 'default'

const TENANT = /^[a-z0-9][a-z0-9-]{0,38}$/
const TASK = /^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/
/** BullMQ builds keys with `:`, so an id cannot contain one. */
const JOB = /^[A-Za-z0-9_-]{1,64}$/

/** A tenant's name becomes part of key names and of paths in the store. @throws invalid_request */
export function checkTenant (tenant: string): void {
  if (!TENANT.test(tenant)) throw new ServiceError('invalid_request', `tenant ${JSON.stringify(tenant)} is not 1 to 39 of a-z, 0-9 and "-", beginning with a letter or digit`, { param: 'tenant' })
}

/** @throws invalid_request */
export function checkTaskName (name: string): void {
  if (!TASK.test(name)) throw new ServiceError('invalid_request', `task name ${JSON.stringify(name)} is not 1 to 128 letters, digits, ".", "_" and "-", beginning with a letter or digit`, { param: 'name' })
}

/** @throws invalid_request */
export function checkAliasName (name: string): void {
  if (!Value.Check(AliasNameSchema, name)) throw new ServiceError('invalid_request', `alias ${JSON.stringify(name)} does not match ${AliasNameSchema.pattern}`, { param: 'alias' })
}

export function checkJobId (id: string): void {
  if (!JOB.test(id)) throw new Error(`internal: ${JSON.stringify(id)} is no job id`)
}

export interface Reference { readonly task: string, readonly selector: { readonly alias: string } | { readonly version: number } }

/** `task` is its production alias, `task@name` an alias, `task@7` a version: alias names begin with a letter, so the two never meet. */
export function parseReference (reference: string): Reference {
  const at = reference.indexOf('@')
  if (at === -1) return { task: reference, selector: { alias: PRODUCTION } }
  const task = reference.slice(0, at)
  const selector = reference.slice(at + 1)
  return /^[1-9][0-9]{0,9}$/.test(selector) ? { task, selector: { version: Number(selector) } } : { task, selector: { alias: selector } }
}
