/** The snapshot in a Redis and a home of its own, and worker processes on them. */
import { type ChildProcess, spawn } from 'node:child_process'
import { EventEmitter, once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { Redis } from 'ioredis'
import type { Base } from '../../src/model/base.js'
import { RedisRegistry } from '../../src/registry/redis-registry.js'
import { openStores, type Stores } from '../../src/registry/store/open-stores.js'
import type { JobEvent } from '../../src/training/job.js'
import { startRedis } from '../support/redis.js'
import { facts, importSnapshotBase, loadSnapshot } from './snapshot.js'

export interface WorkerProcess {
  /** The first line of its log that fits, past or to come. @throws Error when the process ends without it */
  line (fits: (line: LogLine) => boolean): Promise<LogLine>
  /** SIGTERM, then the exit code. */
  stop (): Promise<number | null>
}
export interface LogLine { readonly msg: string, readonly job?: string, readonly reason?: string }

export interface Testbed {
  readonly redisUrl: string
  readonly redis: Redis
  readonly stores: Stores
  readonly registry: RedisRegistry
  readonly base: Base
  startWorker (): WorkerProcess
  /** All events of a job, to its end. */
  events (job: string): Promise<Array<{ readonly id: string, readonly event: JobEvent }>>
  close (): Promise<void>
}

/** A record as a version of schema 2 might have written it. */
export function ofSchema2 (json: string): string {
  return JSON.stringify({ ...JSON.parse(json) as object, schema: 2 })
}

/** For `assert.rejects`. */
export function refused (what: string): { code: string, message: string } {
  return { code: 'newer_schema', message: `${what} is stored with schema 2, this version of Permafrost reads schema 1` }
}

export async function openTestbed (): Promise<Testbed> {
  const home = await mkdtemp(join(tmpdir(), 'permafrost-version-1-'))
  const server = await startRedis()
  const base = await importSnapshotBase(home)
  const stores = await openStores({ PERMAFROST_HOME: home })
  const redis = new Redis(server.url)
  await loadSnapshot(redis, stores.objects)
  const registry = await RedisRegistry.connect({ url: server.url, objects: stores.objects, whenDown: 'wait' })
  const workers = new Set<ChildProcess>()

  function startWorker (): WorkerProcess {
    const child = spawn(process.execPath, [join(import.meta.dirname, '..', 'workers', 'worker-process.js')], {
      env: { ...process.env, REDIS_URL: server.url, PERMAFROST_HOME: home, BASE_FOLDER: base.folder, TRAINING_THREADS: '1', LOG_LEVEL: 'info' },
      stdio: ['ignore', 'pipe', 'inherit']
    })
    workers.add(child)
    const exited = once(child, 'exit').then(([code]: Array<number | null>) => { workers.delete(child); return code! })
    const gone = exited.then(code => { throw new Error(`the worker ended with exit code ${String(code)}`) })
    gone.catch(() => {})
    const lines: LogLine[] = []
    const heard = new EventEmitter()
    createInterface({ input: child.stdout }).on('line', line => {
      lines.push(JSON.parse(line) as LogLine)
      heard.emit('line')
    })
    return {
      async line (fits) {
        for (;;) {
          const line = lines.find(fits)
          if (line !== undefined) return line
          await Promise.race([once(heard, 'line'), gone])
        }
      },
      async stop () {
        child.kill('SIGTERM')
        return await exited
      }
    }
  }

  return {
    redisUrl: server.url,
    redis,
    stores,
    registry,
    base,
    startWorker,
    async events (job) {
      const events = []
      for await (const entry of registry.jobEvents(facts.tenant, job, '0', new AbortController().signal)) events.push(entry)
      return events
    },
    async close () {
      for (const worker of workers) worker.kill('SIGKILL')
      await registry.close()
      redis.disconnect()
      await server.stop()
      await rm(home, { recursive: true, force: true })
    }
  }
}
