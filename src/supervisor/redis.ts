/**
 * The Redis behind the service: the one of REDIS_URL, or a private server that lives and ends with the supervisor.
 * Whatever listens on 6379 is never touched.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { closeSync, mkdirSync, openSync, readFileSync, readlinkSync, realpathSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { Redis } from 'ioredis'
import { checkRedis } from '../registry/check-redis.js'
import type { HomePaths } from './home.js'
import { SupervisedProcess } from './supervised-process.js'

/** Loading a large append-only file takes its time. */
const READY_MS = 60_000
const POLL_MS = 20

/**
 * Redis as a child of a shell that ends it when the pipe on its standard input closes, which the kernel does however
 * the supervisor dies.
 */
const LEASH = `
exec 3<&0
"$@" </dev/null &
server=$!
{ cat <&3 >/dev/null; kill -TERM "$server"; } 2>/dev/null &
wait "$server"`

export interface RunningRedis {
  /** As every process takes it in REDIS_URL. */
  readonly url: string
  stop (): Promise<void>
}

/** Where the private server of a home listens, running or not; a path is a URL to ioredis. */
export function privateRedisUrl (paths: HomePaths): string {
  return join(paths.sockets, 'redis.sock')
}

/**
 * @param url REDIS_URL, or undefined for a private server run by `program`.
 * @throws Error when the server does not answer.
 */
export async function startRedis (url: string | undefined, program: () => string, paths: HomePaths, say: (line: string) => void): Promise<RunningRedis> {
  if (url !== undefined) {
    const warnings = await ask(url, checkRedis)
    if (warnings === null) throw new Error('the Redis server of REDIS_URL does not answer')
    for (const warning of warnings) say(`WARNING: ${warning}`)
    return { url, stop: async () => {} }
  }
  const socket = privateRedisUrl(paths)
  mkdirSync(paths.redis, { recursive: true, mode: 0o700 })
  mkdirSync(paths.sockets, { recursive: true, mode: 0o700 })
  await endLeftover(paths, say)
  rmSync(socket, { force: true })
  const name = program()
  const config = join(paths.redis, 'redis.conf')
  writeFileSync(config, redisConfig(paths, socket))
  const log = join(paths.redis, 'redis.log')

  const server = new SupervisedProcess({
    name: 'redis',
    log,
    graceMs: 30_000,
    spawn () {
      const output = openSync(log, 'a')
      // A process group of its own: ^C in the terminal must not end Redis before those who still write to it.
      const child = spawn('sh', ['-c', LEASH, 'sh', name, config], { stdio: ['pipe', output, output], detached: true })
      closeSync(output)
      return child
    },
    ready: async (_child, signal) => await answering(socket, signal),
    askToEnd: (child: ChildProcess) => child.stdin?.end()
  }, say)
  await server.start()
  return {
    url: socket,
    async stop () {
      await server.stop()
      rmSync(socket, { force: true })
    }
  }
}

function redisConfig (paths: HomePaths, socket: string): string {
  return [
    'port 0',
    `unixsocket ${quoted(socket)}`,
    'unixsocketperm 700',
    `dir ${quoted(paths.redis)}`,
    'daemonize no',
    `pidfile ${quoted(pidFile(paths))}`,
    // Every second: a power cut loses up to one second of acknowledged writes, a crash of any process none.
    'appendonly yes',
    'appendfsync everysec',
    'save ""',
    'maxmemory-policy noeviction',
    ''
  ].join('\n')
}

function quoted (path: string): string {
  return `"${path.replace(/[\\"]/g, '\\$&')}"`
}

/**
 * A server that outlived its supervisor is asked to end (on SIGTERM it writes everything down first); the new one reads
 * it back. Two servers on one append-only file would ruin it, so this waits until the old one is gone.
 */
async function endLeftover (paths: HomePaths, say: (line: string) => void): Promise<void> {
  const pid = leftoverPid(paths)
  if (pid === null) return
  say(`a private Redis of an earlier start still runs (process ${pid}); stopping it`)
  process.kill(pid, 'SIGTERM')
  const deadline = performance.now() + READY_MS
  while (leftoverPid(paths) !== null) {
    if (performance.now() > deadline) throw new Error(`the Redis server of an earlier start does not end; type: kill ${pid}`)
    await sleep(POLL_MS)
  }
}

function leftoverPid (paths: HomePaths): number | null {
  try {
    const pid = Number(readFileSync(pidFile(paths), 'utf8'))
    // The number may belong to a stranger by now: only a Redis of this home works in this folder.
    return pid > 0 && readlinkSync(`/proc/${pid}/cwd`) === realpathSync(paths.redis) ? pid : null
  } catch {
    return null
  }
}

function pidFile (paths: HomePaths): string {
  return join(paths.redis, 'redis.pid')
}

async function answering (socket: string, signal: AbortSignal): Promise<void> {
  const deadline = performance.now() + READY_MS
  while (!signal.aborted) {
    if (await ask(socket, async () => true) === true) return
    if (performance.now() > deadline) throw new Error(`redis does not answer within ${READY_MS / 1000} s`)
    await sleep(POLL_MS)
  }
}

/** What `question` answers on a connection of its own; null when the server does not answer a PING. */
async function ask<T> (url: string, question: (redis: Redis) => Promise<T>): Promise<T | null> {
  const redis = new Redis(url, { lazyConnect: true, retryStrategy: () => null, connectTimeout: 4000, commandTimeout: 4000, maxRetriesPerRequest: 0, enableReadyCheck: false })
  redis.on('error', () => {})
  try {
    await redis.connect()
    await redis.ping()
    return await question(redis)
  } catch {
    return null
  } finally {
    redis.disconnect()
  }
}
