/**
 * Training jobs: the record here is the truth, the BullMQ job of the same id only makes a worker look at it. The record
 * is written first; a job that a crash kept from the queue is queued again by `requeueLostJobs`.
 */
import type { Queue } from 'bullmq'
import type { Redis } from 'ioredis'
import { ServiceError } from '../errors.js'
import { checkSchema, isOfNewerSchema, schemaOf } from '../schema.js'
import { FINAL_STATES, type JobEvent, type JobState, recipeOf, type TrainingJobData } from '../training/job.js'
import { QUEUE_OPTIONS } from '../training/queue.js'
import { eventMessage } from './events.js'
import { MAX_JOB_EVENTS } from './job-events.js'
import { LuaScript } from './lua-script.js'
import { checkJobId } from './names.js'
import { jobNotFound, taskNotFound } from './not-found.js'
import { EVENTS_CHANNEL, jobEventsKey, jobKey, jobsKey, openJobsKey, taskOpenJobsKey, tasksKey, TENANTS } from './redis-keys.js'
import { isOutage } from './redis-connection.js'
import type { JobRecord } from './registry.js'
import { decodeRecord, encodeRecord } from './stored-record.js'

const MAX_LISTED = 1_000

const CREATE_JOB = new LuaScript('create-job-6.lua')
const SET_JOB_STATE = new LuaScript('set-job-state-4.lua')

export interface StateDetails { readonly version?: number, readonly error?: { readonly code: string, readonly message: string }, readonly reason?: string }

export async function createJob (redis: Redis, queue: Queue, data: TrainingJobData): Promise<JobRecord> {
  const { tenant, job, task } = data
  checkJobId(job)
  const now = new Date()
  const queued: JobEvent = { type: 'state', state: 'queued' }
  const [outcome] = await CREATE_JOB.run(redis, [
    tasksKey(tenant), jobKey(tenant, job), jobEventsKey(tenant, job), jobsKey(tenant), openJobsKey(tenant), taskOpenJobsKey(tenant, task)
  ], [
    task, job, encodeRecord(data), now.toISOString(), now.getTime(), encodeRecord(queued),
    EVENTS_CHANNEL, eventMessage({ type: 'job', tenant, id: job, state: 'queued' })
  ])
  if (outcome === 'task_not_found') throw taskNotFound(task)
  const record = await getJob(redis, tenant, job)
  if (!FINAL_STATES.includes(record.state)) await acceptInto(queue, record.data)
  return record
}

/**
 * The job is accepted once its record is written. Should Redis go away now, an error would make the client send it
 * again and train twice; instead the job is queued when Redis is back.
 */
async function acceptInto (queue: Queue, data: TrainingJobData): Promise<void> {
  try {
    await enqueue(queue, data)
  } catch (error) {
    if (!isOutage(error)) throw error
  }
}

export async function getJob (redis: Redis, tenant: string, id: string): Promise<JobRecord> {
  const record = decodeJob(id, await redis.hgetall(jobKey(tenant, id)))
  if (record === null) throw jobNotFound(id)
  return record
}

export async function listJobs (redis: Redis, tenant: string): Promise<JobRecord[]> {
  const ids = await redis.zrevrange(jobsKey(tenant), 0, MAX_LISTED - 1)
  const records = await Promise.all(ids.map(async id => decodeJob(id, await redis.hgetall(jobKey(tenant, id)))))
  return records.filter(record => record !== null)
}

export async function countWaitingJobs (queue: Queue): Promise<number> {
  return await queue.getJobCountByTypes('waiting', 'delayed')
}

export async function jobState (redis: Redis, tenant: string, id: string): Promise<JobState> {
  const [schema, state] = await redis.hmget(jobKey(tenant, id), 'schema', 'state')
  if (typeof schema !== 'string') throw jobNotFound(id)
  checkSchema(`job ${id}`, schema)
  return state as JobState
}

export async function setJobState (redis: Redis, tenant: string, id: string, state: JobState, details: StateDetails): Promise<boolean> {
  return (await changeState(redis, tenant, id, state, details))[0] === 'ok'
}

export async function cancelJob (redis: Redis, queue: Queue, tenant: string, id: string): Promise<JobRecord> {
  const [outcome, detail] = await changeState(redis, tenant, id, 'cancelled', {})
  if (outcome === 'final') throw new ServiceError('job_not_cancellable', `job ${id} is ${detail} already`, { param: 'job' })
  if (outcome === 'published') throw new ServiceError('job_not_cancellable', `job ${id} has published version ${detail} already`, { param: 'job' })
  // Answers 0 for a job that a worker holds; the worker finds the state and stops. Should this call not be reached, a
  // worker that takes the job finds the state too.
  await queue.remove(id)
  return await getJob(redis, tenant, id)
}

/**
 * Bring queue and records together after a crash, a restart of Redis or a job that BullMQ gave up on: an unfinished job
 * that is not in the queue is queued again, one that the queue has failed is recorded as failed. Safe to run at any
 * time and in several processes at once. Jobs of a newer version are left to its own processes.
 * @returns ids of the jobs that were queued again
 */
export async function requeueLostJobs (redis: Redis, queue: Queue): Promise<string[]> {
  const requeued: string[] = []
  for (const tenant of await redis.smembers(TENANTS)) {
    for (const id of await redis.smembers(openJobsKey(tenant))) {
      const queueState = await queue.getJobState(id)
      if (queueState !== 'unknown' && queueState !== 'completed' && queueState !== 'failed') continue
      const failed = queueState === 'failed' ? await queue.getJob(id) : undefined
      // Read after the queue's state: a worker writes the record first and leaves the queue afterwards.
      const record = await jobIfReadable(redis, tenant, id)
      if (record === null || FINAL_STATES.includes(record.state)) continue
      if (failed !== undefined) {
        await setJobState(redis, tenant, id, 'failed', { error: { code: 'internal', message: failed.failedReason } })
        continue
      }
      if (queueState === 'completed') await queue.remove(id)
      await enqueue(queue, record.data)
      requeued.push(id)
    }
  }
  return requeued
}

async function jobIfReadable (redis: Redis, tenant: string, id: string): Promise<JobRecord | null> {
  try {
    return decodeJob(id, await redis.hgetall(jobKey(tenant, id)))
  } catch (error) {
    if (isOfNewerSchema(error)) return null
    throw error
  }
}

/** Adding an id that the queue has changes nothing. */
async function enqueue (queue: Queue, data: TrainingJobData): Promise<void> {
  await queue.add('train', data, { ...QUEUE_OPTIONS, jobId: data.job })
}

/** @throws job_not_found */
async function changeState (redis: Redis, tenant: string, id: string, state: JobState, { version, error, reason }: StateDetails): Promise<string[]> {
  const { data: { task } } = await getJob(redis, tenant, id)
  const event: JobEvent = { type: 'state', state, ...reason === undefined ? {} : { reason } }
  const reply = await SET_JOB_STATE.run(redis, [
    jobKey(tenant, id), jobEventsKey(tenant, id), openJobsKey(tenant), taskOpenJobsKey(tenant, task)
  ], [
    id, state, FINAL_STATES.includes(state) ? new Date().toISOString() : '',
    version ?? '', error === undefined ? '' : encodeRecord(error),
    encodeRecord(event), MAX_JOB_EVENTS, EVENTS_CHANNEL, eventMessage({ type: 'job', tenant, id, state })
  ])
  if (reply[0] === 'job_not_found') throw jobNotFound(id)
  return reply
}

function decodeJob (id: string, fields: Record<string, string>): JobRecord | null {
  const { schema, data: json, createdAt, state, finishedAt, version, error } = fields
  if (schema !== undefined) checkSchema(`job ${id}`, schema)
  if (json === undefined || createdAt === undefined || state === undefined) return null
  const stored = decodeRecord<Omit<TrainingJobData, 'schema'>>(`job ${id}`, json, ({ spec }) => spec)
  const data: TrainingJobData = { ...stored, schema: schemaOf(stored.spec) }
  return {
    id, state: state as JobState, data, method: data.method, recipe: recipeOf(data), createdAt,
    finishedAt: finishedAt ?? null,
    version: version === undefined ? null : Number(version),
    error: error === undefined ? null : decodeRecord<{ code: string, message: string }>(`error of job ${id}`, error)
  }
}
