/** How the service talks to Redis, and what it says when Redis does not answer. */
import { Redis, type RedisOptions } from 'ioredis'
import { ServiceError } from '../errors.js'

/**
 * What a command does while Redis is away. `fail`: it fails at once, or after 5 s without an answer, and is never sent
 * later behind the caller's back (a request is better answered 503 than late). `wait`: it waits for Redis and is sent
 * again after a lost connection, so it may happen twice (a training job outlives a restart of Redis).
 */
export type WhenDown = 'fail' | 'wait'

const COMMAND_TIMEOUT_MS = 5_000
/** Supervisors start Redis and its users together, and a large append-only file takes seconds to load. */
export const CONNECT_MS = 10_000
const RETRY_AFTER_S = 1

const COMMON: RedisOptions = {
  lazyConnect: true,
  retryStrategy: attempt => Math.min(attempt * 50, 1_000)
}

const OPTIONS: Record<WhenDown, RedisOptions> = {
  fail: { ...COMMON, enableOfflineQueue: false, maxRetriesPerRequest: 0, commandTimeout: COMMAND_TIMEOUT_MS },
  wait: { ...COMMON, maxRetriesPerRequest: null }
}

/** @throws registry_unavailable when Redis does not answer within `connectMs` */
export async function openRedis (url: string, whenDown: WhenDown, onError: (error: Error) => void, connectMs: number): Promise<Redis> {
  const redis = new Redis(url, OPTIONS[whenDown])
  redis.on('error', onError)
  let timer: NodeJS.Timeout | undefined
  try {
    await new Promise<void>((resolve, reject) => {
      redis.once('ready', resolve)
      timer = setTimeout(() => reject(new Error(`no answer within ${connectMs} ms`)), connectMs)
      // A refused connection is tried again until the timer ends.
      redis.connect().catch(onError)
    })
    return redis
  } catch (cause) {
    redis.disconnect()
    throw new ServiceError('registry_unavailable', 'Redis does not answer', { retryAfter: RETRY_AFTER_S, cause })
  } finally {
    clearTimeout(timer)
  }
}

/** Run something that uses Redis; a failure that will pass becomes `registry_unavailable`, every other stays as it is. */
export async function answered<Value> (run: () => Promise<Value>): Promise<Value> {
  try {
    return await run()
  } catch (error) {
    if (!isOutage(error)) throw error
    throw new ServiceError('registry_unavailable', 'Redis does not answer; the request may be repeated', { retryAfter: RETRY_AFTER_S, cause: error })
  }
}

/** Replies of a server that is there and cannot serve: still loading, disk or memory full, or a replica without its primary. */
const OUTAGE_REPLY = /^(LOADING|MISCONF|OOM|READONLY|MASTERDOWN|CLUSTERDOWN|NOREPLICAS|TRYAGAIN|BUSY)\b/
/** ioredis and BullMQ give these errors no class or code of their own. */
const OUTAGE_MESSAGE = /^(Connection is closed|Command timed out|Stream isn't writeable)/

export function isOutage (error: unknown): boolean {
  if (!(error instanceof Error)) return false
  return OUTAGE_REPLY.test(error.message) || OUTAGE_MESSAGE.test(error.message) || error.name === 'MaxRetriesPerRequestError' || 'syscall' in error
}
