/**
 * What the service remembers, tenant by tenant. The Redis implementation is `redis-registry.ts`; api, workers and the
 * command line see this interface only. Every method takes the tenant and answers for that tenant alone: another
 * tenant's things do not exist.
 */
import type { Digest } from '../digest.js'
import type { Method } from '../prompt/methods.js'
import type { TaskSpec } from '../prompt/task-spec.js'
import type { CompletedMethod, JobEvent, JobState, Recipe, TrainingJobData } from '../training/job.js'

export const SCOPES = ['infer', 'train', 'publish', 'admin'] as const
export type Scope = typeof SCOPES[number]

/** The hash of a secret is stored, never the secret. */
export interface KeyRecord { readonly id: string, readonly tenant: string, readonly name: string, readonly scopes: readonly Scope[], readonly createdAt: string }
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

/** What a prompt name resolves to at the moment of the request. */
export interface ResolvedTask { readonly task: TaskRecord, readonly version: VersionRecord }

export interface NewVersion {
  readonly digest: Digest
  readonly method: Method
  readonly numVirtualTokens: number
  readonly metrics: Readonly<Record<string, number>>
  /** Publishing twice for one job gives the same version. */
  readonly job: string | null
  readonly alias: string | null
  readonly by: string
}

/** Sent on the channel `pf:events` after the index was written. */
export type RegistryEvent =
  | { readonly type: 'version', readonly tenant: string, readonly task: string, readonly number: number, readonly digest: Digest }
  | { readonly type: 'alias', readonly tenant: string, readonly task: string, readonly alias: string, readonly number: number }
  | { readonly type: 'task', readonly tenant: string, readonly task: string }
  | { readonly type: 'key', readonly tenant: string, readonly id: string }

export interface Registry {
  // keys
  createKey (tenant: string, name: string, scopes: readonly Scope[]): Promise<NewKey>
  /** By secret; null for an unknown or revoked one. */
  findKey (secret: string): Promise<KeyRecord | null>
  listKeys (tenant: string): Promise<KeyRecord[]>
  /** @throws key_not_found */
  revokeKey (tenant: string, id: string): Promise<void>

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
  /** Index the version, move the alias, tell everyone: one script, idempotent on the job. @throws task_not_found */
  publishVersion (tenant: string, task: string, version: NewVersion): Promise<VersionRecord>
  /** @throws task_not_found, version_not_found */
  getVersion (tenant: string, task: string, number: number): Promise<VersionRecord>
  listVersions (tenant: string, task: string): Promise<VersionRecord[]>
  listAliases (tenant: string, task: string): Promise<AliasRecord[]>
  /** @throws alias_not_found */
  getAlias (tenant: string, task: string, alias: string): Promise<AliasRecord>
  /** @throws version_not_found, alias_moved when `ifMatch` is given and is not the current etag */
  moveAlias (tenant: string, task: string, alias: string, version: number, options: { ifMatch?: string, by: string }): Promise<AliasRecord>
  /** To where it pointed before its last move. @throws alias_not_found */
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
  listJobs (tenant: string): Promise<JobRecord[]>
  /** Moves the state unless the job is final already; answers whether it did, and appends the `state` event. */
  setJobState (tenant: string, id: string, state: JobState, details?: { version?: number, error?: { code: string, message: string }, reason?: string }): Promise<boolean>
  /** @throws job_not_found, job_not_cancellable */
  cancelJob (tenant: string, id: string): Promise<JobRecord>
  appendJobEvent (tenant: string, id: string, event: JobEvent): Promise<void>
  /** Events after `lastId` ('0' for all), ending when the job's final state was delivered or the signal fires. */
  jobEvents (tenant: string, id: string, lastId: string, signal: AbortSignal): AsyncIterable<{ readonly id: string, readonly event: JobEvent }>

  /** Answer repeated POSTs: null when this key is new and now reserved, else the stored answer. @throws idempotency_conflict when the body differs */
  onEvent (listener: (event: RegistryEvent) => void): () => void
  close (): Promise<void>
}
