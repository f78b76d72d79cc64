/**
 * A worker process: takes training jobs from the queue, one at a time. Told to stop, it saves the running job and puts
 * it back; killed, the job stalls and another worker goes on from its last checkpoint.
 */
import { availableParallelism } from 'node:os'
import { setTimeout as sleep } from 'node:timers/promises'
import { Worker as QueueWorker, WaitingError, type Job, type WorkerOptions } from 'bullmq'
import type { Logger } from 'pino'
import { badConfig, type Config } from '../src/config.js'
import { createLogger } from '../src/logger.js'
import { openBase } from '../src/model/base.js'
import { RedisRegistry } from '../src/registry/redis-registry.js'
import { openStores, type Stores } from '../src/registry/store/open-stores.js'
import { TRAINING_QUEUE, type TrainingJobData } from '../src/training/job.js'
import { QUEUE_OPTIONS, WORKER_OPTIONS } from '../src/training/queue.js'
import { CheckpointStore } from './checkpoint.js'
import { JobStopped } from './job-stopped.js'
import { processJob } from './process-job.js'
import { runInThread } from './run-in-thread.js'
import { sweepCheckpoints } from './sweep-checkpoints.js'

/** From SIGTERM to exit. A job that is not saved by then stalls and loses what came after its last checkpoint. */
const GRACE_MS = 20_000

/**
 * Runs until SIGTERM or SIGINT; the caller then ends the process, since a job that could not be saved in time still runs.
 * @param timing of the lock, for tests that cannot wait for a real stall
 * @throws ConfigError; Error when Redis or the base is not there
 */
export async function runWorker (config: Config, timing: Pick<WorkerOptions, 'lockDuration' | 'stalledInterval'> = {}): Promise<void> {
  const logger = createLogger('worker', config.LOG_LEVEL)
  const { BASE_FOLDER: baseFolder, REDIS_URL: url } = config
  if (baseFolder === undefined) throw badConfig('BASE_FOLDER: the folder of an imported base is needed')
  if (url === undefined) throw badConfig('REDIS_URL: a worker needs the service\'s Redis')
  const stopping = stopSignal()
  const base = await openBase(baseFolder)
  const stores = await openStores(config)
  const registry = await RedisRegistry.connect({ url, objects: stores.objects, whenDown: 'wait', onError: error => { logger.warn({ err: error }, 'redis') } })
  try {
    await registry.requeueLostJobs()
    await sweepCheckpoints(stores.objects, registry)
    const stop = new AbortController()
    const queue = new QueueWorker<TrainingJobData>(TRAINING_QUEUE, createProcessor({ config, baseFolder, stores, registry, logger, stop: stop.signal }), {
      ...WORKER_OPTIONS, ...timing, connection: { url, maxRetriesPerRequest: null }
    })
    queue.on('error', error => { logger.warn({ err: error }, 'queue') })
    queue.on('lockRenewalFailed', jobs => { for (const job of jobs) queue.cancelJob(job, 'lock_lost') })
    await queue.waitUntilReady()
    logger.info({ base: base.manifest.name, digest: base.manifest.digest, threads: threadsOf(config) }, 'worker takes jobs')
    await stopping
    logger.info('worker stops')
    const closed = queue.close() // takes no further job from here on
    stop.abort(new JobStopped('worker_stops'))
    if (await Promise.race([closed.then(() => true), sleep(GRACE_MS, false, { ref: false })])) return
    logger.error('the running job could not be saved in time')
  } finally {
    await registry.close()
  }
}

interface ProcessorDependencies {
  readonly config: Config
  readonly baseFolder: string
  readonly stores: Stores
  readonly registry: RedisRegistry
  readonly logger: Logger
  readonly stop: AbortSignal
}

function createProcessor ({ config, baseFolder, stores, registry, logger, stop }: ProcessorDependencies) {
  return async (job: Job<TrainingJobData>, token: string | undefined, lost: AbortSignal | undefined): Promise<void> => {
    const log = logger.child({ tenant: job.data.tenant, job: job.data.job })
    log.info({ attempt: job.attemptsMade + 1, started: job.attemptsStarted }, 'job starts')
    const outcome = await processJob(job.data, {
      registry,
      train: (data, emit, signal) => runInThread({ data, config: storeConfig(config), baseFolder, threads: threadsOf(config) }, emit, signal),
      removeCheckpoint: async data => { await new CheckpointStore(stores.objects, data).remove() },
      onError: error => { log.warn({ err: error }, 'event not recorded') }
    }, {
      stop: AbortSignal.any([stop, lockLost(lost)]),
      lastAttempt: job.attemptsMade + 1 >= QUEUE_OPTIONS.attempts
    }).catch((error: unknown) => {
      log.error({ err: error }, 'job fails')
      throw error
    })
    log.info({ outcome }, 'job ends')
    if (outcome !== 'back_to_queue') return
    await job.moveToWait(token)
    throw new WaitingError()
  }
}

/** BullMQ's signal with our reason. */
function lockLost (signal: AbortSignal | undefined): AbortSignal {
  const lost = new AbortController()
  signal?.addEventListener('abort', () => { lost.abort(new JobStopped('lock_lost')) }, { once: true })
  return lost.signal
}

function storeConfig ({ ARTIFACT_STORE, PERMAFROST_HOME }: Config): Pick<Config, 'ARTIFACT_STORE' | 'PERMAFROST_HOME'> {
  return { PERMAFROST_HOME, ...ARTIFACT_STORE === undefined ? {} : { ARTIFACT_STORE } }
}

function threadsOf (config: Config): number {
  return config.TRAINING_THREADS || availableParallelism()
}

async function stopSignal (): Promise<void> {
  await new Promise<void>(resolve => {
    for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => { resolve() })
  })
}
