/**
 * What the service remembers, tenant by tenant. The Redis implementation is `redis-registry.ts`; api, workers and the
 * command line see this interface only. Every method takes the tenant and answers for that tenant alone: another
 * tenant's things do not exist.
 *
 * Every method that reads a record of a newer Permafrost throws newer_schema, which names it, and changes nothing. So do
 * lists: one that left it out would say that it does not exist, and whoever makes what is missing would make it twice.
 */
import type { Digest } from '../digest.js'
import type { Method } from '../prompt/methods.js'
import type { TaskSpec } from '../prompt/task-spec.js'
import type { CompletedMethod, JobEvent, JobProgressEvent, JobState, Recipe, TrainingJobData } from '../training/job.js'

export const SCOPES = ['infer', 'train', 'publish', 'admin'] as const
export type Scope = typeof SCOPES[number]

/** The hash of a secret is stored, never the secret. */
export interface KeyRecord { readonly id: string, readonly tenant: string, readonly name: string, readonly scopes: readonly Scope[], readonly createdAt: string }
/** Whether a tenant has never had a key, has none any more, or has some. */
export type KeyState = 'never' | 'revoked' | 'some'
export interface NewKey extends KeyRecord { readonly secret: string }

export interface TaskRecord {
  readonly name: string
  readonly description: string
  readonly base: Digest
  readonly spec: TaskSpec
  readonly createdAt: string
}

export interface VersionRecord {
  readonly number: number
  readonly digest: Digest
  readonly method: Method
  readonly numVirtualTokens: number
  readonly metrics: Readonly<Record<string, number>>
  /** Null when imported. */
  readonly job: string | null
  readonly createdAt: string
}

/** `etag` changes with every move; `If-Match` compares it. */
export interface AliasRecord { readonly name: string, readonly version: number, readonly etag: string, readonly movedAt: string }
export interface AliasMove { readonly from: number | null, readonly to: number, readonly at: string, readonly by: string }

export interface FileRecord { readonly id: string, readonly name: string, readonly bytes: number, readonly rows: number, readonly digest: Digest, readonly createdAt: string }

export interface JobRecord {
  readonly id: string
  readonly state: JobState
  readonly data: TrainingJobData
  readonly method: CompletedMethod
  readonly recipe: Recipe
  readonly createdAt: string
  readonly finishedAt: string | null
  /** Set when a version was published. */
  readonly version: number | null
  readonly error: { readonly code: string, readonly message: string } | null
}

/** Where an inference process is found; everything else is asked of itself. */
export interface ReplicaRecord {
  /** New at each start of the process. */
  readonly id: string
  /** `http://host:port`, or `unix:/path` on the same machine. */
  readonly url: string
}

export interface ReplicaList {
  readonly replicas: readonly ReplicaRecord[]
  /** Those that a newer Permafrost has entered, in words. */
  readonly refused: readonly string[]
}

/** What a prompt name resolves to at the moment of the request. */
export interface ResolvedTask { readonly task: TaskRecord, readonly version: VersionRecord }

export interface NewVersion {
  readonly digest: Digest
  readonly method: Method
  readonly numVirtualTokens: number
  readonly metrics: Readonly<Record<string, number>>
  /** Publishing twice for one job gives the same version. */
  readonly job: string | null
  /** Names the publication where no job does, to the same effect; no job has this name. */
  readonly once?: string
  readonly alias: string | null
  readonly by: string
}

/** The job was cancelled or has failed meanwhile, so nothing was published: the worker ends without a retry. */
export class JobFinalError extends Error { override readonly name = 'JobFinalError' }

/**
 * Sent on the channel `pf:events` after the index was written. Delivery is at most once (a lost connection loses
 * events), so a listener treats an event as a hint and Redis as the truth.
 */
export type RegistryEvent =
  | { readonly type: 'version', readonly tenant: string, readonly task: string, readonly number: number, readonly digest: Digest }
  | { readonly type: 'alias', readonly tenant: string, readonly task: string, readonly alias: string, readonly number: number }
  | { readonly type: 'task', readonly tenant: string, readonly task: string }
  | { readonly type: 'key', readonly tenant: string, readonly id: string }
  | { readonly type: 'job', readonly tenant: string, readonly id: string, readonly state: JobState }
  /** An inference process came or ended in order. */
  | { readonly type: 'replica', readonly id: string }

export interface Registry {
  // keys
  createKey (tenant: string, name: string, scopes: readonly Scope[]): Promise<NewKey>
  keyState (tenant: string): Promise<KeyState>
  /** With a secret made beforehand, as `newSecret` does. Null, and nothing changed, unless the state is `never`: of several callers one makes it. */
  createFirstKey (tenant: string, name: string, scopes: readonly Scope[], secret: string): Promise<KeyRecord | null>
  /** By secret; null for an unknown or revoked one. */
  findKey (secret: string): Promise<KeyRecord | null>
  listKeys (tenant: string): Promise<KeyRecord[]>
  /** @throws key_not_found */
  revokeKey (tenant: string, id: string): Promise<void>

  // tenants
  /** What the tenant's share counts beside the others'; 1 unless an operator has said otherwise. */
  tenantWeight (tenant: string): Promise<number>
  /** For operators: no API key reaches it. @throws invalid_request for a weight out of bounds or a tenant that never had a key */
  setTenantWeight (tenant: string, weight: number): Promise<void>

  // tasks
  /** @throws task_exists */
  createTask (tenant: string, task: TaskRecord): Promise<void>
  /** @throws task_not_found */
  getTask (tenant: string, name: string): Promise<TaskRecord>
  listTasks (tenant: string): Promise<TaskRecord[]>
  /** Only the description changes. @throws task_not_found */
  describeTask (tenant: string, name: string, description: string): Promise<TaskRecord>
  /** @throws task_not_found, task_in_use while a job of it is not finished */
  deleteTask (tenant: string, name: string): Promise<void>

  // versions and aliases
  /**
   * Index the version, move the alias, append the job's `published` event, tell everyone: one script. The same job
   * twice gives the same version and one event. @throws task_not_found, JobFinalError when the job has ended otherwise
   */
  publishVersion (tenant: string, task: string, version: NewVersion): Promise<VersionRecord>
  /** @throws task_not_found, version_not_found */
  getVersion (tenant: string, task: string, number: number): Promise<VersionRecord>
  listVersions (tenant: string, task: string): Promise<VersionRecord[]>
  listAliases (tenant: string, task: string): Promise<AliasRecord[]>
  /** @throws alias_not_found */
  getAlias (tenant: string, task: string, alias: string): Promise<AliasRecord>
  /** @throws version_not_found, alias_moved when `ifMatch` is given and is not the current etag */
  moveAlias (tenant: string, task: string, alias: string, version: number, options: { ifMatch?: string, by: string }): Promise<AliasRecord>
  /** To where it pointed before its last move. @throws alias_not_found, version_not_found when it has never pointed elsewhere */
  rollbackAlias (tenant: string, task: string, alias: string, by: string): Promise<AliasRecord>
  /** Newest first. */
  aliasHistory (tenant: string, task: string, alias: string): Promise<AliasMove[]>
  /** `task`, `task@alias`, `task@7`. @throws task_not_found, alias_not_found, version_not_found */
  resolve (tenant: string, reference: string): Promise<ResolvedTask>

  // files
  addFile (tenant: string, file: FileRecord): Promise<void>
  /** @throws file_not_found */
  getFile (tenant: string, id: string): Promise<FileRecord>
  listFiles (tenant: string): Promise<FileRecord[]>
  removeFile (tenant: string, id: string): Promise<void>

  // jobs
  /** Record and queue: the BullMQ job has the same id. */
  createJob (data: TrainingJobData): Promise<JobRecord>
  /** @throws job_not_found */
  getJob (tenant: string, id: string): Promise<JobRecord>
  /** Newest first, at most 1,000. */
  listJobs (tenant: string): Promise<JobRecord[]>
  /** Of all tenants: jobs that no worker has taken yet, those put back for a while included. */
  countWaitingJobs (): Promise<number>
  /** The state alone: cheap enough to ask between two steps. @throws job_not_found */
  jobState (tenant: string, id: string): Promise<JobState>
  /** Moves the state unless the job is final already; answers whether it did, and appends the `state` event. */
  setJobState (tenant: string, id: string, state: JobState, details?: { version?: number, error?: { code: string, message: string }, reason?: string }): Promise<boolean>
  /**
   * A waiting job leaves the queue; a running one finds its state `cancelled` (event `job`, or `jobState`) and stops.
   * @throws job_not_found, job_not_cancellable when it is final or has published its version
   */
  cancelJob (tenant: string, id: string): Promise<JobRecord>
  /** Dropped silently once the job is final: the final `state` event stays the last. */
  appendJobEvent (tenant: string, id: string, event: JobProgressEvent): Promise<void>
  /**
   * Events after `lastId` ('0' for all), ending when the job's final state was delivered or the signal fires. In place of
   * an event of a newer Permafrost comes an `error` with newer_schema; the stream goes on.
   */
  jobEvents (tenant: string, id: string, lastId: string, signal: AbortSignal): AsyncIterable<{ readonly id: string, readonly event: JobEvent }>

  // repeated POSTs, remembered for 24 hours
  /**
   * Null: the key is new and now reserved; else the stored answer. `request` is a digest of route and body.
   * @throws idempotency_conflict when the request differs, or is still being answered (with `retryAfter`)
   */
  reserveIdempotency (tenant: string, key: string, request: Digest): Promise<string | null>
  storeIdempotent (tenant: string, key: string, request: Digest, answer: string): Promise<void>
  /** The request failed: the same key may try again. */
  releaseIdempotency (tenant: string, key: string, request: Digest): Promise<void>

  // inference processes
  /** Those that have spoken lately; another may have been lost without a word. */
  listReplicas (): Promise<ReplicaList>

  onEvent (listener: (event: RegistryEvent) => void): () => void
  close (): Promise<void>
}
