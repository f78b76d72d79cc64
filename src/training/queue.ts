/**
 * The BullMQ settings on which api and workers have to agree. BullMQ delivers at least once: a job may run twice, so
 * everything a worker does is idempotent on the job's id.
 */
import type { JobsOptions, WorkerOptions } from 'bullmq'

/** All of BullMQ's keys begin with it; the braces keep one queue in one slot should Redis be a cluster. */
export const QUEUE_PREFIX = '{pf}:queue'

export const QUEUE_OPTIONS = {
  /** For errors that may pass (a full disk, Redis away). What cannot succeed is thrown as BullMQ's `UnrecoverableError`. */
  attempts: 3,
  backoff: { type: 'exponential', delay: 5_000 },
  // The registry keeps the record of every job; the queue's copy only helps to look into what went wrong last.
  removeOnComplete: { count: 100 },
  removeOnFail: { count: 100 }
} as const satisfies JobsOptions

export const WORKER_OPTIONS = {
  prefix: QUEUE_PREFIX,
  concurrency: 1,
  /** A worker that dies is noticed after `lockDuration`, at the next check: at most 25 s. */
  lockDuration: 20_000,
  stalledInterval: 5_000,
  /** After an error of Redis. The default of 15 s keeps jobs waiting that long behind a restart, and a stopping worker too. */
  runRetryDelay: 1_000,
  /**
   * How many workers a job may outlive. The default of 1 fails a job whose worker dies twice; with checkpoints a repeat
   * is cheap, and a job that kills every worker still ends.
   */
  maxStalledCount: 100
} as const satisfies Partial<WorkerOptions>
