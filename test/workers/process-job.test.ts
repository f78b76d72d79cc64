import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { digestOf } from '../../src/digest.js'
import { MalformedModelError, ServiceError } from '../../src/errors.js'
import { JobFinalError, type RegistryEvent } from '../../src/registry/registry.js'
import { FINAL_STATES, type JobProgressEvent, type JobState, type TrainingJobData } from '../../src/training/job.js'
import { JobStopped, type StopReason } from '../../workers/job-stopped.js'
import { type JobDependencies, processJob } from '../../workers/process-job.js'

const data = { schema: 1, job: 'job_1', tenant: 't', task: 'task', alias: 'production', method: { type: 'prefix-tuning', num_virtual_tokens: 4 } } as TrainingJobData
const trained = { digest: digestOf('prompt'), metrics: { loss: 1 } }
const step: JobProgressEvent = { type: 'checkpoint', step: 1 }

/** A registry of one job that writes down what happens to it. */
class OneJob {
  state: JobState
  readonly log: string[] = []
  readonly listeners = new Set<(event: RegistryEvent) => void>()
  published: Error | null = null

  constructor (state: JobState = 'queued') { this.state = state }

  dependencies (train: JobDependencies['train']): JobDependencies {
    return {
      registry: {
        jobState: async () => this.state,
        setJobState: async (_tenant, _id, state, details) => {
          if (FINAL_STATES.includes(this.state)) return false
          this.state = state
          this.log.push(details?.error === undefined ? state : `${state} ${details.error.code}`)
          return true
        },
        appendJobEvent: async (_tenant, _id, event) => { this.log.push(`event ${event.type}`) },
        publishVersion: async (_tenant, _task, version) => {
          if (this.published !== null) throw this.published
          this.log.push('published')
          return { ...version, number: 7, createdAt: '' }
        },
        onEvent: listener => {
          this.listeners.add(listener)
          return () => this.listeners.delete(listener)
        }
      },
      train,
      removeCheckpoint: async () => { this.log.push('checkpoint removed') },
      onError: error => { this.log.push(`error ${String(error)}`) }
    }
  }
}

const never = new AbortController().signal
const failing = (error: Error): JobDependencies['train'] => async () => { throw error }
const untilAborted: JobDependencies['train'] = async (_data, _emit, signal) => await new Promise((_resolve, reject) => {
  signal.addEventListener('abort', () => { reject(signal.reason as Error) })
})

async function stopped (reason: StopReason): Promise<[OneJob, Promise<string>]> {
  const job = new OneJob()
  const stop = new AbortController()
  const outcome = processJob(data, job.dependencies(untilAborted), { stop: stop.signal, lastAttempt: true })
  await new Promise(resolve => setImmediate(resolve))
  stop.abort(new JobStopped(reason))
  return [job, outcome]
}

suite('processJob()', () => {
  test('publishes before it says succeeded, events in order, and cleans up last', async () => {
    const job = new OneJob()
    const outcome = await processJob(data, job.dependencies(async (_data, emit) => { emit(step); emit(step); return trained }), { stop: never, lastAttempt: false })
    assert.equal(outcome, 'succeeded')
    assert.deepEqual(job.log, ['running', 'event checkpoint', 'event checkpoint', 'published', 'succeeded', 'checkpoint removed'])
    assert.equal(job.listeners.size, 0)
  })

  for (const state of FINAL_STATES) {
    test(`leaves a job that is ${state} already alone`, async () => {
      const job = new OneJob(state)
      await processJob(data, job.dependencies(failing(new Error('must not run'))), { stop: never, lastAttempt: false })
      assert.deepEqual([job.state, job.log], [state, ['checkpoint removed']])
    })
  }

  for (const [error, code] of [[new ServiceError('one_label', 'one label'), 'one_label'], [new MalformedModelError('bad tensor'), 'internal']] as const) {
    test(`fails at once on ${error.name} ${code}`, async () => {
      const job = new OneJob()
      assert.equal(await processJob(data, job.dependencies(failing(error)), { stop: never, lastAttempt: false }), 'failed')
      assert.deepEqual(job.log, ['running', 'event error', `failed ${code}`, 'checkpoint removed'])
    })
  }

  for (const error of [new Error('disk full'), new ServiceError('registry_unavailable', 'Redis does not answer')]) {
    test(`gives "${error.message}" another attempt, and fails after the last`, async () => {
      const job = new OneJob()
      await assert.rejects(processJob(data, job.dependencies(failing(error)), { stop: never, lastAttempt: false }), error)
      assert.deepEqual(job.log, ['running', 'queued'])
      await assert.rejects(processJob(data, job.dependencies(failing(error)), { stop: never, lastAttempt: true }), error)
      assert.deepEqual(job.log.slice(2), ['running', 'event error', 'failed internal', 'checkpoint removed'])
    })
  }

  test('leaves a job of a newer schema alone, and gives one back that meets something newer, on the last attempt too', async () => {
    const untouched = new OneJob()
    await assert.rejects(processJob({ ...data, schema: 2 } as unknown as TrainingJobData, untouched.dependencies(failing(new Error('must not run'))), { stop: never, lastAttempt: true }), { code: 'newer_schema' })
    assert.deepEqual([untouched.state, untouched.log], ['queued', []])

    const met = new OneJob()
    const newer = new ServiceError('newer_schema', 'the checkpoint of job job_1 is stored with schema 2')
    await assert.rejects(processJob(data, met.dependencies(failing(newer)), { stop: never, lastAttempt: true }), newer)
    assert.deepEqual(met.log, ['running', 'queued'])
  })

  test('stops a cancelled job at the registry\'s event, and without it at the next event of the run', async () => {
    const told = new OneJob()
    const outcome = processJob(data, told.dependencies(async (...input) => {
      told.state = 'cancelled'
      queueMicrotask(() => { for (const listener of told.listeners) listener({ type: 'job', tenant: 't', id: 'job_1', state: 'cancelled' }) })
      return await untilAborted(...input)
    }), { stop: never, lastAttempt: false })
    assert.equal(await outcome, 'cancelled')
    assert.deepEqual(told.log, ['running', 'checkpoint removed'])

    const asked = new OneJob()
    assert.equal(await processJob(data, asked.dependencies(async (job, emit, signal) => {
      asked.state = 'cancelled'
      emit(step)
      return await untilAborted(job, emit, signal)
    }), { stop: never, lastAttempt: false }), 'cancelled')
    assert.equal(asked.log.at(-1), 'checkpoint removed')
  })

  test('a job that was cancelled between training and publication is not published', async () => {
    const job = new OneJob()
    job.published = new JobFinalError('cancelled')
    assert.equal(await processJob(data, job.dependencies(async () => trained), { stop: never, lastAttempt: false }), 'cancelled')
    assert.deepEqual(job.log, ['running', 'checkpoint removed'])
  })

  test('goes back to the queue with its checkpoint when the worker stops, on the last attempt too', async () => {
    const [job, outcome] = await stopped('worker_stops')
    assert.equal(await outcome, 'back_to_queue')
    assert.deepEqual(job.log, ['running', 'queued'])
  })

  test('touches nothing when the lock is lost: another worker may have the job', async () => {
    const [job, outcome] = await stopped('lock_lost')
    await assert.rejects(outcome, JobStopped)
    assert.deepEqual(job.log, ['running'])
  })
})
