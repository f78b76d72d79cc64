import { Worker } from 'node:worker_threads'
import { ServiceError } from '../src/errors.js'
import type { JobProgressEvent } from '../src/training/job.js'
import { JobStopped } from './job-stopped.js'
import type { FromThread, ThreadData, ToThread } from './thread-protocol.js'
import type { TrainedPrompt } from './train.js'

/** A micro-batch of the largest size takes some seconds on a busy machine; after this the thread is ended as it is. */
const STOP_MS = 10_000

/**
 * Train in a thread of its own. Settles when the thread is gone, so nothing of it outlives the job.
 * @throws the signal's `JobStopped`; ServiceError when trying again cannot help; Error otherwise
 */
export async function runInThread (threadData: ThreadData, emit: (event: JobProgressEvent) => void, signal: AbortSignal): Promise<TrainedPrompt> {
  signal.throwIfAborted()
  const thread = new Worker(new URL('./training-thread.js', import.meta.url), { workerData: threadData })
  let outcome: Exclude<FromThread, { type: 'event' }> | null = null
  let deadline: NodeJS.Timeout | undefined
  const stop = (): void => {
    const message: ToThread = { stop: (signal.reason as JobStopped).reason }
    thread.postMessage(message)
    deadline = setTimeout(() => { void thread.terminate() }, STOP_MS)
  }
  signal.addEventListener('abort', stop, { once: true })
  thread.on('message', (message: FromThread) => {
    if (message.type === 'event') emit(message.event)
    else outcome = message
  })
  try {
    await new Promise<void>((resolve, reject) => {
      thread.once('error', reject)
      thread.once('exit', () => { resolve() })
    })
  } finally {
    signal.removeEventListener('abort', stop)
    clearTimeout(deadline)
  }
  return resultOf(outcome, signal)
}

function resultOf (outcome: Exclude<FromThread, { type: 'event' }> | null, signal: AbortSignal): TrainedPrompt {
  switch (outcome?.type) {
    case 'trained': return outcome.trained
    case 'stopped': throw new JobStopped(outcome.reason)
    case 'refused': throw new ServiceError(outcome.code, outcome.message)
    case 'failed': throw new Error(outcome.message)
    case undefined:
      signal.throwIfAborted()
      throw new Error('internal: the training thread ended without a result')
  }
}
