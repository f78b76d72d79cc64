/**
 * The name of every Redis key that the registry writes (BullMQ's own begin with `QUEUE_PREFIX`). All keys of a tenant
 * carry the same hash tag, so that one script may touch several of them even where Redis is a cluster. Records say
 * their schema; what holds names and numbers alone has none, and another form of it would be another key.
 */
import { checkTenant } from './names.js'

export const EVENTS_CHANNEL = 'pf:events'

/** Set of the tenants that exist. */
export const TENANTS = 'pf:tenants'

/** A key record by the SHA-256 of its secret. */
export const secretKey = (sha256: string): string => `pf:key:${sha256}`

/** Hash: id of an inference process -> record. */
export const REPLICAS = 'pf:{replicas}:records'
/** Sorted set: id of an inference process by the time it last spoke, in ms of the clock of Redis. */
export const REPLICA_HEARTBEATS = 'pf:{replicas}:heartbeats'

/** No key of a tenant is built anywhere else, so no command can reach another tenant's. @throws invalid_request for a bad tenant */
function tenantKey (tenant: string, ...parts: string[]): string {
  checkTenant(tenant)
  return ['pf', 't', `{${tenant}}`, ...parts].join(':')
}

/** Hash: key id -> record with the secret's hash. */
export const apiKeysKey = (tenant: string): string => tenantKey(tenant, 'keys')
/** String: record of the time, present once a key was revoked: a tenant without keys that has had one is not new. */
export const lastRevocationKey = (tenant: string): string => tenantKey(tenant, 'last-revocation')

/** String: record of the tenant's weight; absent: 1. */
export const tenantWeightKey = (tenant: string): string => tenantKey(tenant, 'weight')

/** Hash: task name -> record. */
export const tasksKey = (tenant: string): string => tenantKey(tenant, 'tasks')
/** Hash: task name -> the last version number given out. Survives the task: a number never means two things. */
export const versionCountersKey = (tenant: string): string => tenantKey(tenant, 'version-counters')
/** Hash: version number -> record. */
export const versionsKey = (tenant: string, task: string): string => tenantKey(tenant, 'task', task, 'versions')
/** Hash: job id, or what else names a publication -> the version number reserved for it. */
export const jobVersionsKey = (tenant: string, task: string): string => tenantKey(tenant, 'task', task, 'job-versions')
/** Hash: alias -> record. */
export const aliasesKey = (tenant: string, task: string): string => tenantKey(tenant, 'task', task, 'aliases')
/** List, newest first: moves of all aliases of the task. */
export const aliasMovesKey = (tenant: string, task: string): string => tenantKey(tenant, 'task', task, 'alias-moves')
/** Set: unfinished jobs of the task. */
export const taskOpenJobsKey = (tenant: string, task: string): string => tenantKey(tenant, 'task', task, 'open-jobs')

/** Hash: file id -> record. */
export const filesKey = (tenant: string): string => tenantKey(tenant, 'files')

/** Sorted set: job id by time of creation. */
export const jobsKey = (tenant: string): string => tenantKey(tenant, 'jobs')
/** Set: unfinished jobs of the tenant. */
export const openJobsKey = (tenant: string): string => tenantKey(tenant, 'open-jobs')
/** Hash: schema, data, createdAt, state, and once they are known version, error, finishedAt (present exactly when the job is final). */
export const jobKey = (tenant: string, id: string): string => tenantKey(tenant, 'job', id)
/** Stream: field `event`. */
export const jobEventsKey = (tenant: string, id: string): string => tenantKey(tenant, 'job', id, 'events')

/** String: the answer to a repeated POST, by the SHA-256 of its Idempotency-Key. */
export const idempotencyKey = (tenant: string, sha256: string): string => tenantKey(tenant, 'idempotency', sha256)
