/** The registry on Redis: every subject's functions, bound to this process's connections. */
import { Queue } from 'bullmq'
import type { Redis } from 'ioredis'
import type { Digest } from '../digest.js'
import { type JobProgressEvent, type JobState, TRAINING_QUEUE, type TrainingJobData } from '../training/job.js'
import { QUEUE_PREFIX } from '../training/queue.js'
import * as aliases from './aliases.js'
import * as apiKeys from './api-keys.js'
import { checkRedis } from './check-redis.js'
import { EventSubscription } from './events.js'
import * as files from './files.js'
import * as idempotency from './idempotency.js'
import * as jobEvents from './job-events.js'
import * as jobs from './jobs.js'
import { answered, CONNECT_MS, openRedis, type WhenDown } from './redis-connection.js'
import type { AliasMove, AliasRecord, FileRecord, JobRecord, KeyRecord, KeyState, NewKey, NewVersion, Registry, RegistryEvent, ReplicaList, ResolvedTask, Scope, TaskRecord, VersionRecord } from './registry.js'
import type { ObjectStore } from './store/object-store.js'
import * as replicas from './replicas.js'
import * as tasks from './tasks.js'
import * as tenants from './tenants.js'
import * as versions from './versions.js'

export interface RedisRegistryOptions {
  readonly url: string
  /** Publications are recorded here before the index knows them. */
  readonly objects: ObjectStore
  /** Requests `fail`, training jobs `wait`. */
  readonly whenDown: WhenDown
  /** Lost connections and the like, all of which mend themselves: for the log. */
  readonly onError?: (error: Error) => void
  /** How long `connect` tries again after a failed try; absent: 10 s. */
  readonly connectMs?: number
}

/** Every method throws `registry_unavailable` while Redis is away, unless `whenDown` is `wait`. */
export class RedisRegistry implements Registry {
  readonly #redis: Redis
  readonly #subscription: EventSubscription
  readonly #queue: Queue
  readonly #objects: ObjectStore
  readonly #onError: (error: Error) => void
  readonly #closing = new AbortController()

  private constructor (redis: Redis, subscription: EventSubscription, objects: ObjectStore, onError: (error: Error) => void) {
    this.#redis = redis
    this.#subscription = subscription
    this.#objects = objects
    this.#onError = onError
    this.#queue = new Queue(TRAINING_QUEUE, { connection: redis, prefix: QUEUE_PREFIX })
    this.#queue.on('error', onError)
    // Redis may have lost what the queue knew, or we may have lost Redis between the record of a job and the queue.
    redis.on('ready', () => { this.requeueLostJobs().catch(onError) })
  }

  /** Resolves when Redis answers and events are subscribed to. @throws registry_unavailable after `connectMs`; ConfigError when Redis refuses the password */
  static async connect ({ url, objects, whenDown, onError = () => {}, connectMs = CONNECT_MS }: RedisRegistryOptions): Promise<RedisRegistry> {
    const redis = await openRedis(url, whenDown, onError, connectMs)
    const subscriber = await openRedis(url, 'wait', onError, connectMs).catch((error: unknown) => {
      redis.disconnect()
      throw error
    })
    const registry = new RedisRegistry(redis, new EventSubscription(subscriber, onError), objects, onError)
    try {
      await registry.#subscription.start()
      await answered(() => registry.#queue.waitUntilReady())
      return registry
    } catch (error) {
      await registry.close()
      throw error
    }
  }

  /** Whether commands are answered at present, as far as this process knows. */
  get connected (): boolean { return this.#redis.status === 'ready' }

  /** What an operator should know about this Redis at start-up; empty when all is well. */
  async checkRedis (): Promise<string[]> { return await answered(() => checkRedis(this.#redis)) }
  /** Run at the start of api and workers; also runs by itself after every lost connection. */
  async requeueLostJobs (): Promise<string[]> { return await answered(() => jobs.requeueLostJobs(this.#redis, this.#queue)) }

  async createKey (tenant: string, name: string, scopes: readonly Scope[]): Promise<NewKey> { return await answered(() => apiKeys.createKey(this.#redis, tenant, name, scopes)) }
  async keyState (tenant: string): Promise<KeyState> { return await answered(() => apiKeys.keyState(this.#redis, tenant)) }
  async createFirstKey (tenant: string, name: string, scopes: readonly Scope[], secret: string): Promise<KeyRecord | null> { return await answered(() => apiKeys.createFirstKey(this.#redis, tenant, name, scopes, secret)) }
  async findKey (secret: string): Promise<KeyRecord | null> { return await answered(() => apiKeys.findKey(this.#redis, secret)) }
  async listKeys (tenant: string): Promise<KeyRecord[]> { return await answered(() => apiKeys.listKeys(this.#redis, tenant)) }
  async revokeKey (tenant: string, id: string): Promise<void> { await answered(() => apiKeys.revokeKey(this.#redis, tenant, id)) }

  async tenantWeight (tenant: string): Promise<number> { return await answered(() => tenants.tenantWeight(this.#redis, tenant)) }
  async setTenantWeight (tenant: string, weight: number): Promise<void> { await answered(() => tenants.setTenantWeight(this.#redis, tenant, weight)) }

  async createTask (tenant: string, task: TaskRecord): Promise<void> { await answered(() => tasks.createTask(this.#redis, tenant, task)) }
  async getTask (tenant: string, name: string): Promise<TaskRecord> { return await answered(() => tasks.getTask(this.#redis, tenant, name)) }
  async listTasks (tenant: string): Promise<TaskRecord[]> { return await answered(() => tasks.listTasks(this.#redis, tenant)) }
  async describeTask (tenant: string, name: string, description: string): Promise<TaskRecord> { return await answered(() => tasks.describeTask(this.#redis, tenant, name, description)) }
  async deleteTask (tenant: string, name: string): Promise<void> { await answered(() => tasks.deleteTask(this.#redis, this.#objects, tenant, name)) }

  async publishVersion (tenant: string, task: string, version: NewVersion): Promise<VersionRecord> { return await answered(() => versions.publishVersion(this.#redis, this.#objects, tenant, task, version)) }
  async getVersion (tenant: string, task: string, number: number): Promise<VersionRecord> { return await answered(() => versions.getVersion(this.#redis, tenant, task, number)) }
  async listVersions (tenant: string, task: string): Promise<VersionRecord[]> { return await answered(() => versions.listVersions(this.#redis, tenant, task)) }
  async resolve (tenant: string, reference: string): Promise<ResolvedTask> { return await answered(() => versions.resolve(this.#redis, tenant, reference)) }

  async listAliases (tenant: string, task: string): Promise<AliasRecord[]> { return await answered(() => aliases.listAliases(this.#redis, tenant, task)) }
  async getAlias (tenant: string, task: string, alias: string): Promise<AliasRecord> { return await answered(() => aliases.getAlias(this.#redis, tenant, task, alias)) }
  async moveAlias (tenant: string, task: string, alias: string, version: number, options: { ifMatch?: string, by: string }): Promise<AliasRecord> { return await answered(() => aliases.moveAlias(this.#redis, tenant, task, alias, version, options)) }
  async rollbackAlias (tenant: string, task: string, alias: string, by: string): Promise<AliasRecord> { return await answered(() => aliases.rollbackAlias(this.#redis, tenant, task, alias, by)) }
  async aliasHistory (tenant: string, task: string, alias: string): Promise<AliasMove[]> { return await answered(() => aliases.aliasHistory(this.#redis, tenant, task, alias)) }

  async addFile (tenant: string, file: FileRecord): Promise<void> { await answered(() => files.addFile(this.#redis, tenant, file)) }
  async getFile (tenant: string, id: string): Promise<FileRecord> { return await answered(() => files.getFile(this.#redis, tenant, id)) }
  async listFiles (tenant: string): Promise<FileRecord[]> { return await answered(() => files.listFiles(this.#redis, tenant)) }
  async removeFile (tenant: string, id: string): Promise<void> { await answered(() => files.removeFile(this.#redis, tenant, id)) }

  async createJob (data: TrainingJobData): Promise<JobRecord> { return await answered(() => jobs.createJob(this.#redis, this.#queue, data)) }
  async getJob (tenant: string, id: string): Promise<JobRecord> { return await answered(() => jobs.getJob(this.#redis, tenant, id)) }
  async listJobs (tenant: string): Promise<JobRecord[]> { return await answered(() => jobs.listJobs(this.#redis, tenant)) }
  async countWaitingJobs (): Promise<number> { return await answered(() => jobs.countWaitingJobs(this.#queue)) }
  async jobState (tenant: string, id: string): Promise<JobState> { return await answered(() => jobs.jobState(this.#redis, tenant, id)) }
  async setJobState (tenant: string, id: string, state: JobState, details: jobs.StateDetails = {}): Promise<boolean> { return await answered(() => jobs.setJobState(this.#redis, tenant, id, state, details)) }
  async cancelJob (tenant: string, id: string): Promise<JobRecord> { return await answered(() => jobs.cancelJob(this.#redis, this.#queue, tenant, id)) }
  async appendJobEvent (tenant: string, id: string, event: JobProgressEvent): Promise<void> { await answered(() => jobEvents.appendJobEvent(this.#redis, tenant, id, event)) }

  /** Stays silent while Redis is away and goes on where it was. */
  jobEvents (tenant: string, id: string, lastId: string, signal: AbortSignal): AsyncIterable<jobEvents.StoredJobEvent> {
    const ended = AbortSignal.any([signal, this.#closing.signal])
    return jobEvents.readJobEvents(() => this.#duplicateForWaiting(), tenant, id, lastId, ended)
  }

  async reserveIdempotency (tenant: string, key: string, request: Digest): Promise<string | null> { return await answered(() => idempotency.reserveIdempotency(this.#redis, tenant, key, request)) }
  async storeIdempotent (tenant: string, key: string, request: Digest, answer: string): Promise<void> { await answered(() => idempotency.storeIdempotent(this.#redis, tenant, key, request, answer)) }
  async releaseIdempotency (tenant: string, key: string, request: Digest): Promise<void> { await answered(() => idempotency.releaseIdempotency(this.#redis, tenant, key, request)) }

  async listReplicas (): Promise<ReplicaList> { return await answered(() => replicas.listReplicas(this.#redis)) }

  onEvent (listener: (event: RegistryEvent) => void): () => void { return this.#subscription.on(listener) }

  async close (): Promise<void> {
    this.#closing.abort()
    this.#subscription.close()
    await this.#queue.close()
    this.#redis.disconnect()
  }

  #duplicateForWaiting (): Redis {
    const redis = this.#redis.duplicate({ enableOfflineQueue: true, maxRetriesPerRequest: null, commandTimeout: undefined })
    redis.on('error', this.#onError)
    return redis
  }
}
