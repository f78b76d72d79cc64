/**
 * A worker process: takes training jobs from the queue, one at a time. Told to stop, it saves the running job and puts
 * it back; killed, the job stalls and another worker goes on from its last checkpoint.
 */
import { availableParallelism } from 'node:os'
import { setTimeout as sleep } from 'node:timers/promises'
import { DelayedError, Worker as QueueWorker, WaitingError, type Job, type WorkerOptions } from 'bullmq'
import type { Logger } from 'pino'
import { badConfig, type Config } from '../src/config.js'
import { runProcess } from '../src/lifecycle/run-process.js'
import { basePlace, openCurrentBase } from '../src/model/current-base.js'
import { redisPlace } from '../src/registry/redis-connection.js'
import { RedisRegistry } from '../src/registry/redis-registry.js'
import { openStores, storePlace, type Stores } from '../src/registry/store/open-stores.js'
import { isOfNewerSchema } from '../src/schema.js'
import { TRAINING_QUEUE, type TrainingJobData } from '../src/training/job.js'
import { QUEUE_OPTIONS, WORKER_OPTIONS } from '../src/training/queue.js'
import { CheckpointStore } from './checkpoint.js'
import { JobMetrics } from './job-metrics.js'
import { JobStopped } from './job-stopped.js'
import { processJob } from './process-job.js'
import { runInThread } from './run-in-thread.js'
import { sweepCheckpoints } from './sweep-checkpoints.js'

/** From SIGTERM to exit. A job that is not saved by then stalls and loses what came after its last checkpoint. */
const GRACE_MS = 20_000
/** A job that only a newer worker can run is out of the queue for so long: seldom enough to cost nothing, soon enough for that worker. */
const NEWER_WORKER_MS = 5_000

/**
 * Runs until SIGTERM or SIGINT; the caller then ends the process, since a job that could not be saved in time still runs.
 * @param timing of the lock, for tests that cannot wait for a real stall
 * @throws ConfigError; newer_schema for a base that only a newer version reads
 */
export async function runWorker (config: Config, timing: Pick<WorkerOptions, 'lockDuration' | 'stalledInterval'> = {}): Promise<void> {
  const { REDIS_URL: url } = config
  if (url === undefined) throw badConfig('REDIS_URL: a worker needs the service\'s Redis')
  await runProcess('worker', config, async (lifecycle, logger) => {
    const base = await lifecycle.waitFor(basePlace(config), () => openCurrentBase(config))
    const stores = await lifecycle.waitFor(storePlace(config), () => openStores(config))
    const redis = redisPlace(url)
    const registry = await lifecycle.waitFor(redis, () => RedisRegistry.connect({
      url, objects: stores.objects, whenDown: 'wait', connectMs: 0, onError: error => { logger.warn({ err: error }, 'redis') }
    }))
    try {
      await lifecycle.waitFor(redis, async () => {
        await registry.requeueLostJobs()
        await sweepCheckpoints(stores.objects, registry)
      })
      const stop = new AbortController()
      const metrics = new JobMetrics(lifecycle.metrics)
      const train = createProcessor({ config, baseFolder: base.folder, stores, registry, metrics, logger, stop: stop.signal })
      let isTraining = false
      const queue = new QueueWorker<TrainingJobData>(TRAINING_QUEUE, async (job, token, lost) => {
        isTraining = true
        await train(job, token, lost).finally(() => { isTraining = false })
      }, {
        ...WORKER_OPTIONS, ...timing, connection: { url, maxRetriesPerRequest: null }
      })
      queue.on('error', error => { logger.warn({ err: error }, 'queue') })
      queue.on('lockRenewalFailed', jobs => { for (const job of jobs) queue.cancelJob(job, 'lock_lost') })
      lifecycle.ready(() => registry.connected ? null : redis)
      // It may have a job already: told to stop here, it gives it back like at any other time.
      await Promise.race([queue.waitUntilReady(), lifecycle.stopping])
      logger.info({ base: base.manifest.name, digest: base.manifest.digest, threads: threadsOf(config) }, 'worker takes jobs')
      await lifecycle.stopping
      logger.info('worker stops')
      // Takes no further job from here on. With no job to give back, a Redis that is away is nothing to wait for.
      const closed = queue.close(!isTraining && !registry.connected)
      stop.abort(new JobStopped('worker_stops'))
      if (await Promise.race([closed.then(() => true), sleep(GRACE_MS, false, { ref: false })])) return
      logger.error('the running job could not be saved in time')
    } finally {
      await registry.close()
    }
  })
}

interface ProcessorDependencies {
  readonly config: Config
  readonly baseFolder: string
  readonly stores: Stores
  readonly registry: RedisRegistry
  readonly metrics: JobMetrics
  readonly logger: Logger
  readonly stop: AbortSignal
}

function createProcessor ({ config, baseFolder, stores, registry, metrics, logger, stop }: ProcessorDependencies) {
  return async (job: Job<TrainingJobData>, token: string | undefined, lost: AbortSignal | undefined): Promise<void> => {
    const log = logger.child({ tenant: job.data.tenant, job: job.id })
    metrics.started()
    log.info({ attempt: job.attemptsMade + 1, started: job.attemptsStarted }, 'job starts')
    const outcome = await processJob(job.data, {
      registry,
      train: (data, emit, signal) => runInThread({ data, config: storeConfig(config), baseFolder, threads: threadsOf(config) }, event => {
        metrics.observe(event)
        emit(event)
      }, signal),
      removeCheckpoint: async data => { await new CheckpointStore(stores.objects, data).remove() },
      onError: error => { log.warn({ err: error }, 'event not recorded') }
    }, {
      stop: AbortSignal.any([stop, lockLost(lost)]),
      lastAttempt: job.attemptsMade + 1 >= QUEUE_OPTIONS.attempts
    }).catch((error: unknown) => {
      if (isOfNewerSchema(error)) {
        log.warn({ reason: error.message }, 'job is left for a newer worker')
        return 'for_newer_worker' as const
      }
      log.error({ err: error }, 'job fails')
      metrics.ended('error')
      throw error
    })
    metrics.ended(outcome)
    log.info({ outcome }, 'job ends')
    if (outcome === 'back_to_queue') {
      await job.moveToWait(token)
      throw new WaitingError()
    }
    if (outcome === 'for_newer_worker') {
      await job.moveToDelayed(Date.now() + NEWER_WORKER_MS, token)
      throw new DelayedError()
    }
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
