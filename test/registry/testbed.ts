/** What the registry's tests share: a registry on a Redis of their own, and records to put into it. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Redis } from 'ioredis'
import { digestOf } from '../../src/digest.js'
import { RedisRegistry } from '../../src/registry/redis-registry.js'
import type { WhenDown } from '../../src/registry/redis-connection.js'
import type { NewVersion, TaskRecord } from '../../src/registry/registry.js'
import type { ObjectStore } from '../../src/registry/store/object-store.js'
import { openStores } from '../../src/registry/store/open-stores.js'
import { completeRecipe } from '../../src/training/recipe.js'
import type { TrainingJobData } from '../../src/training/job.js'
import { type RedisServer, startRedis } from '../support/redis.js'

export interface Testbed {
  readonly server: RedisServer
  readonly objects: ObjectStore
  readonly registry: RedisRegistry
  /** Another process's registry on the same Redis. */
  connect (whenDown?: WhenDown): Promise<RedisRegistry>
  /** Redis itself, for what the registry does not show. */
  readonly redis: Redis
  close (): Promise<void>
}

export async function openTestbed (options: { appendfsync?: 'always' | 'everysec', extraArguments?: readonly string[] } = {}): Promise<Testbed> {
  const folder = await mkdtemp(join(tmpdir(), 'permafrost-registry-'))
  const server = await startRedis(options)
  const { objects } = await openStores({ PERMAFROST_HOME: folder })
  const registries: RedisRegistry[] = []
  const connect = async (whenDown: WhenDown = 'fail'): Promise<RedisRegistry> => {
    const registry = await RedisRegistry.connect({ url: server.url, objects, whenDown })
    registries.push(registry)
    return registry
  }
  const redis = new Redis(server.url)
  redis.on('error', () => {})
  return {
    server,
    objects,
    registry: await connect(),
    connect,
    redis,
    async close () {
      for (const registry of registries) await registry.close()
      redis.disconnect()
      await server.stop()
      await rm(folder, { recursive: true, force: true })
    }
  }
}

export const BASE = digestOf('a base')

export function task (name: string): TaskRecord {
  return { name, description: '', base: BASE, spec: { kind: 'generation', template: '{input}\n', verbalizer: null }, createdAt: '2026-01-01T00:00:00.000Z' }
}

export function version (content: string, options: Partial<NewVersion> = {}): NewVersion {
  return { digest: digestOf(content), method: 'prefix-tuning', numVirtualTokens: 16, metrics: { accuracy: 0.9 }, job: null, alias: 'production', by: 'a test', ...options }
}

export function job (tenant: string, taskName: string, id: string): TrainingJobData {
  const { method, recipe } = completeRecipe({}, { kind: 'generation', rows: 1_000 })
  return { schema: 1, job: id, tenant, task: taskName, spec: task(taskName).spec, base: BASE, trainingFile: 'file_1', validationFile: null, method, recipe, alias: 'production' }
}

/** For `assert.rejects`: the error with this code, of whatever class. */
export function refused (code: string): { code: string } {
  return { code }
}
