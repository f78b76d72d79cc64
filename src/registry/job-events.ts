/** The event stream of a training job: appended by workers, read by any number of clients, resumable by id. */
import type { Redis } from 'ioredis'
import { ServiceError } from '../errors.js'
import { isOfNewerSchema } from '../schema.js'
import { FINAL_STATES, JOB_EVENT_ID, type JobEvent, type JobProgressEvent } from '../training/job.js'
import { LuaScript } from './lua-script.js'
import { jobNotFound } from './not-found.js'
import { jobEventsKey, jobKey } from './redis-keys.js'
import { decodeRecord, encodeRecord } from './stored-record.js'

/** About; the oldest go first. The final state is always the last event and so always there. */
export const MAX_JOB_EVENTS = 10_000

const BATCH = 200
/** Only how often a quiet stream is looked at again; an event ends the wait at once. */
const BLOCK_MS = 15_000

const APPEND_JOB_EVENT = new LuaScript('append-job-event-2.lua')

export interface StoredJobEvent { readonly id: string, readonly event: JobEvent }

export async function appendJobEvent (redis: Redis, tenant: string, id: string, event: JobProgressEvent): Promise<void> {
  const [outcome] = await APPEND_JOB_EVENT.run(redis, [jobKey(tenant, id), jobEventsKey(tenant, id)], [encodeRecord(event), MAX_JOB_EVENTS])
  if (outcome === 'job_not_found') throw jobNotFound(id)
}

/**
 * Events after `lastId`, then each as it comes, until the final `state` was delivered or `signal` fires.
 * @param open makes a connection that waits while Redis is away: a blocking read needs one of its own, and closing it is
 *   the only way to end that read
 * @throws job_not_found, invalid_request for an id that is none
 */
export async function * readJobEvents (open: () => Redis, tenant: string, id: string, lastId: string, signal: AbortSignal): AsyncGenerator<StoredJobEvent> {
  if (!JOB_EVENT_ID.test(lastId)) throw new ServiceError('invalid_request', `${JSON.stringify(lastId)} is not the id of an event`, { param: 'last-event-id' })
  if (signal.aborted) return
  const redis = open()
  const disconnect = (): void => redis.disconnect()
  signal.addEventListener('abort', disconnect, { once: true })
  try {
    let after = lastId
    while (true) {
      // Asked before the read: what a final job has to say is all there already, so an empty read after it is the end.
      const [exists, finishedAt] = await Promise.all([redis.exists(jobKey(tenant, id)), redis.hget(jobKey(tenant, id), 'finishedAt')])
      if (exists === 0) throw jobNotFound(id)
      const final = finishedAt !== null
      const events = await readAfter(redis, jobEventsKey(tenant, id), after, final ? 0 : BLOCK_MS)
      if (final && events.length === 0) return
      for (const entry of events) {
        yield entry
        if (entry.event.type === 'state' && FINAL_STATES.includes(entry.event.state)) return
        after = entry.id
      }
    }
  } catch (error) {
    if (!signal.aborted) throw error
  } finally {
    signal.removeEventListener('abort', disconnect)
    redis.disconnect()
  }
}

/** @param blockMs how long to wait for an event when there is none; 0: not at all */
async function readAfter (redis: Redis, key: string, after: string, blockMs: number): Promise<StoredJobEvent[]> {
  const reply = blockMs === 0
    ? await redis.xread('COUNT', BATCH, 'STREAMS', key, after)
    : await redis.xread('COUNT', BATCH, 'BLOCK', blockMs, 'STREAMS', key, after)
  const entries = reply?.[0]?.[1] ?? []
  return entries.map(([id, [, json]]) => {
    if (json === undefined) throw new Error(`internal: event ${id} of ${key} is empty`)
    return { id, event: decodeEvent(id, json) }
  })
}

/** An event that cannot be read keeps its place as an `error`: those behind it may be readable. */
function decodeEvent (id: string, json: string): JobEvent {
  try {
    return decodeRecord<JobEvent>(`event ${id}`, json)
  } catch (error) {
    if (!isOfNewerSchema(error)) throw error
    return { type: 'error', code: error.code, message: error.message }
  }
}
