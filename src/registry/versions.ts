import { randomBytes } from 'node:crypto'
import type { Redis } from 'ioredis'
import { checkSchema, schemaOf } from '../schema.js'
import type { JobEvent } from '../training/job.js'
import { MAX_ALIAS_MOVES } from './aliases.js'
import { eventMessage } from './events.js'
import { MAX_JOB_EVENTS } from './job-events.js'
import { LuaScript } from './lua-script.js'
import { checkAliasName, parseReference } from './names.js'
import { aliasNotFound, taskNotFound, versionNotFound } from './not-found.js'
import { aliasesKey, aliasMovesKey, EVENTS_CHANNEL, jobEventsKey, jobKey, jobVersionsKey, tasksKey, versionCountersKey, versionsKey } from './redis-keys.js'
import { JobFinalError, type NewVersion, type ResolvedTask, type TaskRecord, type VersionRecord } from './registry.js'
import { versionKey } from './store/object-keys.js'
import type { ObjectStore } from './store/object-store.js'
import { decodeRecord, encodeRecord } from './stored-record.js'
import { decodeTask, getTask } from './tasks.js'

const RESERVE_VERSION = new LuaScript('reserve-version-5.lua')
const PUBLISH_VERSION = new LuaScript('publish-version-6.lua')
const RESOLVE = new LuaScript('resolve-3.lua')

/** What the store keeps of a publication: enough to make task, version and alias in the index again. */
export interface PublicationRecord {
  readonly tenant: string
  readonly task: TaskRecord
  readonly version: VersionRecord
  readonly alias: string | null
  readonly by: string
}

/**
 * The artifact is durable already. Then, in this order: a number is reserved, the publication's record is durable in
 * the store, one script writes the index. A crash leaves at most a record without an index entry, and a gap in the
 * numbers when nobody repeats the publication.
 */
export async function publishVersion (redis: Redis, objects: ObjectStore, tenant: string, task: string, version: NewVersion): Promise<VersionRecord> {
  if (version.alias !== null) checkAliasName(version.alias)
  const taskRecord = await getTask(redis, tenant, task)
  const { alias, by, once, ...rest } = version
  const publisher = version.job ?? once ?? ''
  const [reserved, reservedNumber, indexed] = await RESERVE_VERSION.run(redis, [
    tasksKey(tenant), versionCountersKey(tenant), jobVersionsKey(tenant, task), versionsKey(tenant, task), jobKey(tenant, publisher)
  ], [task, publisher])
  if (reserved === 'task_not_found') throw taskNotFound(task)
  if (reserved === 'job_final') throw jobFinal(version.job, reservedNumber)
  const number = Number(reservedNumber)
  if (reserved === 'published' && indexed !== undefined) return decodeVersion(task, number, indexed)

  const record: VersionRecord = { number, ...rest, createdAt: new Date().toISOString() }
  const publication: PublicationRecord = { tenant, task: taskRecord, version: record, alias, by }
  const objectKey = versionKey(tenant, task, number)
  await objects.put(objectKey, Buffer.from(encodeRecord({ schema: schemaOf(taskRecord.spec), ...publication })))

  const [outcome, detail] = await enterIndex(redis, tenant, task, record, alias, by)
  if (outcome === 'ok') return record
  if (outcome === 'published' && detail !== undefined) {
    // Two attempts of one publisher met between reservation and index. The first one counts, so the store says so too.
    const first = decodeVersion(task, number, detail)
    await objects.put(objectKey, Buffer.from(encodeRecord({ schema: schemaOf(taskRecord.spec), ...publication, version: first })))
    return first
  }
  await objects.delete(objectKey)
  if (outcome === 'other_schema') checkSchema(`alias ${alias} of task ${task}`, detail)
  throw outcome === 'job_final' ? jobFinal(version.job, detail) : taskNotFound(task)
}

async function enterIndex (redis: Redis, tenant: string, task: string, record: VersionRecord, alias: string | null, by: string): Promise<string[]> {
  const { number, digest } = record
  const event: JobEvent = { type: 'published', version: number, digest, alias }
  return await PUBLISH_VERSION.run(redis, [
    tasksKey(tenant), versionsKey(tenant, task), aliasesKey(tenant, task),
    aliasMovesKey(tenant, task), jobKey(tenant, record.job ?? ''), jobEventsKey(tenant, record.job ?? '')
  ], [
    task, number, encodeRecord(record), record.job ?? '',
    alias ?? '', randomBytes(9).toString('base64url'), record.createdAt, by,
    encodeRecord(event), MAX_JOB_EVENTS,
    EVENTS_CHANNEL, eventMessage({ type: 'version', tenant, task, number, digest }),
    alias === null ? '' : eventMessage({ type: 'alias', tenant, task, alias, number }),
    MAX_ALIAS_MOVES
  ])
}

export async function getVersion (redis: Redis, tenant: string, task: string, number: number): Promise<VersionRecord> {
  return (await resolveVersion(redis, tenant, task, { version: number })).version
}

/** Oldest first. */
export async function listVersions (redis: Redis, tenant: string, task: string): Promise<VersionRecord[]> {
  await getTask(redis, tenant, task)
  const records = await redis.hgetall(versionsKey(tenant, task))
  return Object.entries(records)
    .map(([number, json]) => decodeVersion(task, Number(number), json))
    .sort((a, b) => a.number - b.number)
}

export async function resolve (redis: Redis, tenant: string, reference: string): Promise<ResolvedTask> {
  const { task, selector } = parseReference(reference)
  return await resolveVersion(redis, tenant, task, selector)
}

async function resolveVersion (redis: Redis, tenant: string, task: string, selector: { alias: string } | { version: number }): Promise<ResolvedTask> {
  const [alias, wanted] = 'alias' in selector ? [selector.alias, ''] : ['', String(selector.version)]
  const [outcome, taskJson, number, versionJson] = await RESOLVE.run(redis, [tasksKey(tenant), versionsKey(tenant, task), aliasesKey(tenant, task)], [task, alias, wanted])
  if (outcome === 'task_not_found') throw taskNotFound(task)
  if (outcome === 'alias_not_found') throw aliasNotFound(task, alias)
  if (outcome === 'other_schema') checkSchema(`alias ${alias} of task ${task}`, taskJson)
  if (taskJson === undefined || versionJson === undefined) throw versionNotFound(task, wanted)
  return { task: decodeTask(task, taskJson), version: decodeVersion(task, Number(number), versionJson) }
}

function decodeVersion (task: string, number: number, json: string): VersionRecord {
  return decodeRecord<VersionRecord>(`version ${number} of task ${task}`, json)
}

function jobFinal (job: string | null, state: string | undefined): JobFinalError {
  return new JobFinalError(`job ${job} is ${state}: nothing was published`)
}
