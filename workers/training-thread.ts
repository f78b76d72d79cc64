/**
 * A thread that trains one job. ONNX Runtime occupies its thread for the length of a micro-batch; here that stalls
 * neither lock renewal nor signals of the process.
 */
import { getPriority, setPriority } from 'node:os'
import { parentPort, workerData } from 'node:worker_threads'
import { openBase } from '../src/model/base.js'
import { loadTokenizer } from '../src/model/bpe-tokenizer.js'
import { openStores } from '../src/registry/store/open-stores.js'
import { failureOf, isPermanent } from './failures.js'
import { JobStopped } from './job-stopped.js'
import { trainPrompt } from './train.js'
import type { FromThread, ThreadData, ToThread } from './thread-protocol.js'

/** Serving comes first on a machine that does both. */
const NICENESS = 19

const port = parentPort
if (port === null) throw new Error('internal: this file is a worker thread')
const { data, config, baseFolder, threads } = workerData as ThreadData
const controller = new AbortController()
port.on('message', ({ stop }: ToThread) => { controller.abort(new JobStopped(stop)) })
const send = (message: FromThread): void => { port.postMessage(message) }

// On Linux this is of the calling thread, and the threads that ONNX Runtime starts here inherit it.
if (getPriority() < NICENESS) setPriority(NICENESS)
try {
  const base = await openBase(baseFolder)
  const trained = await trainPrompt(data, {
    stores: await openStores(config),
    base,
    tokenizer: await loadTokenizer(baseFolder),
    threads,
    emit: event => { send({ type: 'event', event }) },
    signal: controller.signal
  })
  send({ type: 'trained', trained })
} catch (error) {
  send(outcomeOf(error))
} finally {
  port.close()
}

/** Classes do not survive the way between threads. */
function outcomeOf (error: unknown): FromThread {
  if (error instanceof JobStopped) return { type: 'stopped', reason: error.reason }
  if (isPermanent(error)) return { type: 'refused', ...failureOf(error) }
  return { type: 'failed', message: error instanceof Error ? error.stack ?? error.message : String(error) }
}
