/**
 * Compiles outputs in a thread, one at a time, so that the event loop goes on meanwhile, and ends the thread when one
 * takes too long or too much memory: what was next gets a new one. Tenants take turns, so that nobody waits for the
 * many outputs of another. The limits of `compile.ts` hold everywhere alike; the deadline is for what they miss.
 */
import { Worker } from 'node:worker_threads'
import { ServiceError } from '../errors.js'
import { ALL_BYTES, type CompiledOutput } from './compile.js'
import type { CompilerAnswer, CompilerRequest } from './compiler-thread.js'
import { type Output, refusedOutput } from './output.js'

const DEADLINE_MS = 5000
const MAX_HEAP_MB = 256

interface Waiting extends CompilerRequest {
  readonly tenant: string
  readonly resolve: (compiled: CompiledOutput) => void
  readonly reject: (error: Error) => void
}

export class OutputCompiler {
  readonly #deadlineMs: number
  readonly #waiting: Waiting[] = []
  /** Number of the last turn of each tenant since nobody waited. */
  readonly #turns = new Map<string, number>()
  #turn = 0
  #current: Waiting | null = null
  #thread: Worker | null = null
  #timer: NodeJS.Timeout | undefined
  #closed = false

  constructor (deadlineMs = DEADLINE_MS) {
    this.#deadlineMs = deadlineMs
  }

  /**
   * @param tenant whose turn it takes
   * @param usable as in `compileOutput`
   * @throws ServiceError `invalid_request` at `output/…`; `inference_unavailable` when it was closed
   */
  compile (output: Output, tenant: string, usable = ALL_BYTES): Promise<CompiledOutput> {
    return new Promise((resolve, reject) => {
      if (this.#closed) throw stopped()
      this.#waiting.push({ output, usable, tenant, resolve, reject })
      this.#next()
    })
  }

  async close (): Promise<void> {
    const thread = this.#thread
    this.#closed = true
    this.#lost(thread, stopped())
    for (const { reject } of this.#waiting.splice(0)) reject(stopped())
    await thread?.terminate()
  }

  #next (): void {
    if (this.#current !== null || this.#closed) return
    const next = this.#waiting.reduce<Waiting | null>((first, one) => first === null || this.#lastTurn(one) < this.#lastTurn(first) ? one : first, null)
    if (next === null) {
      this.#turns.clear()
      return
    }
    this.#waiting.splice(this.#waiting.indexOf(next), 1)
    this.#turns.set(next.tenant, ++this.#turn)
    this.#current = next
    const thread = this.#thread ??= this.#start()
    this.#timer = setTimeout(() => this.#lost(thread, refusedOutput('', `too expensive: it takes longer than ${this.#deadlineMs} ms to compile`)), this.#deadlineMs)
    thread.postMessage({ output: next.output, usable: next.usable } satisfies CompilerRequest)
  }

  #lastTurn ({ tenant }: Waiting): number {
    return this.#turns.get(tenant) ?? 0
  }

  #settle (how: (one: Waiting) => void): void {
    clearTimeout(this.#timer)
    const one = this.#current
    this.#current = null
    if (one !== null) how(one)
    this.#next()
  }

  /** It is not waited for any more; what it had fails. */
  #lost (thread: Worker | null, error: Error): void {
    if (thread !== this.#thread) return
    this.#thread = null
    void thread?.terminate()
    this.#settle(({ reject }) => reject(error))
  }

  #start (): Worker {
    const thread = new Worker(new URL('./compiler-thread.js', import.meta.url), { resourceLimits: { maxOldGenerationSizeMb: MAX_HEAP_MB } })
    thread.unref()
    thread.on('message', (answer: CompilerAnswer) => {
      if (thread === this.#thread) this.#settle(one => settleWith(answer, one))
    })
    thread.on('error', (error: NodeJS.ErrnoException) => this.#lost(thread, error.code === 'ERR_WORKER_OUT_OF_MEMORY' ? refusedOutput('', 'too expensive: it takes too much memory to compile') : error))
    thread.on('exit', () => this.#lost(thread, new Error('internal: the thread that compiles outputs ended')))
    return thread
  }
}

function settleWith (answer: CompilerAnswer, { resolve, reject }: Waiting): void {
  if ('compiled' in answer) resolve(answer.compiled)
  else if ('refusal' in answer) reject(new ServiceError('invalid_request', answer.refusal.message, { param: answer.refusal.param }))
  else reject(new Error(`internal: an output was not compiled: ${answer.error}`))
}

function stopped (): ServiceError {
  return new ServiceError('inference_unavailable', 'the process is stopping', { retryAfter: 2 })
}
