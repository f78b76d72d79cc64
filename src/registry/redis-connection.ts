/** How the service talks to Redis, and what it says when Redis does not answer. */
import { setTimeout as sleep } from 'node:timers/promises'
import { Redis, type RedisOptions } from 'ioredis'
import { badConfig } from '../config.js'
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
/** One try, from the first packet to a server that takes commands. */
const TRY_MS = 4_000
const RETRY_AFTER_S = 1

const retryDelay = (attempt: number): number => Math.min(attempt * 50, 1_000)

const COMMON: RedisOptions = {
  lazyConnect: true,
  retryStrategy: retryDelay,
  // While its data load, Redis says when it expects to be done, in whole seconds and often wrongly.
  maxLoadingRetryTime: 500
}

const OPTIONS: Record<WhenDown, RedisOptions> = {
  fail: { ...COMMON, enableOfflineQueue: false, maxRetriesPerRequest: 0, commandTimeout: COMMAND_TIMEOUT_MS },
  wait: { ...COMMON, maxRetriesPerRequest: null }
}

/**
 * Tries until `connectMs` have passed, at least once.
 * @throws registry_unavailable when Redis does not answer; ConfigError when it refuses the password
 */
export async function openRedis (url: string, whenDown: WhenDown, onError: (error: Error) => void, connectMs: number): Promise<Redis> {
  const deadline = performance.now() + connectMs
  for (let attempt = 1; ; attempt++) {
    const redis = new Redis(url, OPTIONS[whenDown])
    try {
      await connected(redis)
      redis.on('error', onError)
      return redis
    } catch (cause) {
      redis.disconnect()
      if (REFUSAL.test((cause as Error).message)) throw badConfig(`REDIS_PASSWORD: ${placeOf(redis)} refuses the password of REDIS_PASSWORD or REDIS_URL, or wants one: ${(cause as Error).message}`)
      if (performance.now() >= deadline) throw new ServiceError('registry_unavailable', `${placeOf(redis)} does not answer`, { retryAfter: RETRY_AFTER_S, cause })
    }
    await sleep(retryDelay(attempt))
  }
}

/** `Redis at host:port` or `Redis at /its/socket`, never with the password. */
export function redisPlace (url: string): string {
  return placeOf(new Redis(url, COMMON))
}

function placeOf ({ options: { path, host, port } }: Redis): string {
  return `Redis at ${path ?? `${host}:${port}`}`
}

/** Of a new password, of none, and in the words of Redis 5. */
const REFUSAL = /^(WRONGPASS|NOAUTH|ERR invalid password)/

/** @throws Error why the first try failed */
async function connected (redis: Redis): Promise<void> {
  let timer: NodeJS.Timeout | undefined
  try {
    await new Promise<void>((resolve, reject) => {
      redis.once('ready', resolve)
      // Stays: a later error without a listener would end the process.
      redis.on('error', reject)
      timer = setTimeout(() => {
        reject(new Error(redis.status === 'connect' ? 'it takes connections but no commands, as while it loads its data' : `no answer within ${TRY_MS} ms`))
      }, TRY_MS)
      redis.connect().catch(() => {}) // the reason comes as an `error` event
    })
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
