/**
 * The life of one training job as the registry sees it, around whatever trains it. BullMQ delivers at least once, so
 * each step here may happen again: a final job is left alone, a publication is idempotent on the job.
 */
import type { Digest } from '../src/digest.js'
import { JobFinalError, type Registry } from '../src/registry/registry.js'
import { checkTaskSchema, isOfNewerSchema } from '../src/schema.js'
import { FINAL_STATES, type JobProgressEvent, type TrainingJobData } from '../src/training/job.js'
import { failureOf, isPermanent } from './failures.js'
import { JobStopped } from './job-stopped.js'
import type { TrainedPrompt } from './train.js'

export interface JobDependencies {
  readonly registry: Pick<Registry, 'jobState' | 'setJobState' | 'appendJobEvent' | 'publishVersion' | 'onEvent'>
  readonly train: (data: TrainingJobData, emit: (event: JobProgressEvent) => void, signal: AbortSignal) => Promise<TrainedPrompt>
  readonly removeCheckpoint: (data: TrainingJobData) => Promise<void>
  /** What went wrong and does not change the outcome: for the log. */
  readonly onError: (error: unknown) => void
}

export type JobOutcome = 'succeeded' | 'failed' | 'cancelled' | 'back_to_queue'

/**
 * @param lastAttempt an error that may pass then fails the job
 * @param stop fires with a `JobStopped` when the worker stops or has lost the job
 * @throws Error that may pass; `JobStopped` with `lock_lost`; newer_schema when the job is one for a newer worker
 */
export async function processJob (data: TrainingJobData, dependencies: JobDependencies, { stop, lastAttempt }: { stop: AbortSignal, lastAttempt: boolean }): Promise<JobOutcome> {
  const { registry, removeCheckpoint } = dependencies
  const { tenant, job } = data
  checkTaskSchema(`job ${job}`, data.schema, data.spec)
  if (!await registry.setJobState(tenant, job, 'running')) {
    await removeCheckpoint(data)
    return await registry.jobState(tenant, job) === 'succeeded' ? 'succeeded' : 'cancelled'
  }
  try {
    const trained = await trainWatched(data, dependencies, stop)
    const version = await publish(data, dependencies, trained.digest, trained.metrics)
    await registry.setJobState(tenant, job, 'succeeded', { version })
    await removeCheckpoint(data)
    return 'succeeded'
  } catch (error) {
    return await afterError(error, data, dependencies, lastAttempt)
  }
}

async function publish ({ tenant, task, method, job, alias }: TrainingJobData, { registry }: JobDependencies, digest: Digest, metrics: TrainedPrompt['metrics']): Promise<number> {
  const version = await registry.publishVersion(tenant, task, {
    digest, metrics, method: method.type, numVirtualTokens: method.num_virtual_tokens, job, alias, by: `job:${job}`
  })
  return version.number
}

/** Trains, passes events on in order, and stops when the job was cancelled. */
async function trainWatched (data: TrainingJobData, { registry, train, onError }: JobDependencies, stop: AbortSignal): Promise<TrainedPrompt> {
  const { tenant, job } = data
  const cancelled = new AbortController()
  const cancel = (): void => { cancelled.abort(new JobStopped('job_cancelled')) }
  const unsubscribe = registry.onEvent(event => {
    if (event.type === 'job' && event.tenant === tenant && event.id === job && event.state === 'cancelled') cancel()
  })
  // Registry events may be lost, so the state is asked with each event of the run too, about once in a second.
  let writing = Promise.resolve()
  const emit = (event: JobProgressEvent): void => {
    writing = writing.then(async () => {
      await registry.appendJobEvent(tenant, job, event)
      if (FINAL_STATES.includes(await registry.jobState(tenant, job))) cancel()
    }).catch(onError)
  }
  try {
    return await train(data, emit, AbortSignal.any([stop, cancelled.signal]))
  } finally {
    await writing // what follows must not overtake the run's own events
    unsubscribe()
  }
}

async function afterError (error: unknown, data: TrainingJobData, { registry, removeCheckpoint }: JobDependencies, lastAttempt: boolean): Promise<JobOutcome> {
  const { tenant, job } = data
  if (error instanceof JobFinalError || (error instanceof JobStopped && error.reason === 'job_cancelled')) {
    await removeCheckpoint(data)
    return 'cancelled'
  }
  if (error instanceof JobStopped) {
    if (error.reason === 'lock_lost') throw error
    await registry.setJobState(tenant, job, 'queued', { reason: 'its worker stopped' })
    return 'back_to_queue'
  }
  if (isOfNewerSchema(error)) {
    await registry.setJobState(tenant, job, 'queued', { reason: error.message })
    throw error
  }
  if (!isPermanent(error) && !lastAttempt) {
    await registry.setJobState(tenant, job, 'queued', { reason: 'it failed and will be tried again' })
    throw error
  }
  const failure = isPermanent(error) ? failureOf(error) : { code: 'internal', message: 'training failed for a reason that is not the job\'s; see the worker\'s log' }
  await registry.appendJobEvent(tenant, job, { type: 'error', ...failure })
  await registry.setJobState(tenant, job, 'failed', { error: failure, reason: failure.message })
  await removeCheckpoint(data)
  if (!isPermanent(error)) throw error
  return 'failed'
}
