/** One request in the engine: what it still has to run, what its slot holds, and what it tells its client. */
import { ServiceError } from '../errors.js'
import { classify } from './classify.js'
import type { CompiledPrompt } from './compiled-prompt.js'
import { PenalisedTokens } from './penalties.js'
import type { SequenceEvent, SequenceRequest, Timing } from './protocol.js'
import { chooseToken, logProbabilities } from './sampler.js'
import type { Schedulable } from './scheduler.js'

export interface SequenceOptions {
  readonly arrival: number
  readonly request: SequenceRequest
  readonly prompt: CompiledPrompt | null
  /** The request's own limit, cut to what fits the slot. */
  readonly maxTokens: number
  /** Milliseconds of `performance.now()`. */
  readonly arrivedAt: number
  readonly emit: (event: SequenceEvent) => void
  /** Called once, when the sequence leaves the engine for whatever reason. */
  readonly onEnd: () => void
}

export class Sequence implements Schedulable {
  readonly arrival: number
  readonly tenant: string
  passed = 0
  remaining: number
  /** Positions of its slot that hold keys and values. */
  length = 0
  /** Tokens generated so far. */
  generated = 0
  /** Null until the first step. */
  startedAt: number | null = null
  cancelled = false
  readonly #options: SequenceOptions
  readonly #stopTokens: ReadonlySet<number>
  readonly #penalised: PenalisedTokens | null
  #firstResultAt = 0
  #lastToken = -1
  #ended = false

  constructor (options: SequenceOptions) {
    this.#options = options
    this.arrival = options.arrival
    this.tenant = options.request.tenant
    this.remaining = options.request.inputIds.length
    const { work, inputIds } = options.request
    this.#stopTokens = new Set(work.kind === 'generate' ? work.stopTokenIds : [])
    this.#penalised = work.kind === 'generate' && work.penalties !== undefined ? new PenalisedTokens(work.penalties, inputIds, options.maxTokens) : null
  }

  get prompt (): CompiledPrompt | null { return this.#options.prompt }
  get generates (): boolean { return this.#options.request.work.kind === 'generate' }
  /** The id that the next decode step runs. */
  get lastToken (): number { return this.#lastToken }

  /** The next `tokens` ids of the input. */
  inputChunk (tokens: number): readonly number[] {
    const { inputIds } = this.#options.request
    const start = inputIds.length - this.remaining
    return inputIds.slice(start, start + tokens)
  }

  /**
   * Turn the result of the last position into an event; answers whether the sequence is finished.
   * @param hidden [hidden] @param logits [vocabulary]; empty when it classifies; afterwards as before
   */
  accept (hidden: Float32Array, logits: Float32Array): boolean {
    const { work } = this.#options.request
    const now = performance.now()
    if (this.#firstResultAt === 0) this.#firstResultAt = now
    // A prompt with enormous values overflows; the scores would be NaN and any token "the largest".
    if (!hidden.every(Number.isFinite)) throw new ServiceError('not_finite', 'the scores of this prompt are not finite numbers')
    if (work.kind === 'classify') {
      this.#options.emit({ type: 'scores', ...classify(hidden, this.prompt!.labels!), virtualTokens: this.prompt!.virtualTokens, timing: this.#timing(now) })
      return true
    }
    this.#penalised?.lower(logits)
    const id = chooseToken(logits, work.sampling, this.generated)
    this.#penalised?.restore(logits)
    if (this.#stopTokens.has(id)) return this.#finish('stop', now)
    this.#lastToken = id
    this.generated++
    this.#penalised?.add(id)
    this.#options.emit(work.logprobs === null ? { type: 'token', id } : { type: 'token', id, ...logProbabilities(logits, id, work.logprobs) })
    return this.generated >= this.#options.maxTokens && this.#finish('length', now)
  }

  fail (error: ServiceError): void {
    this.#options.emit({ type: 'failed', code: error.code, message: error.message })
  }

  end (): void {
    if (this.#ended) return
    this.#ended = true
    this.#options.onEnd()
  }

  #finish (reason: 'stop' | 'length', now: number): true {
    this.#options.emit({ type: 'finished', reason, virtualTokens: this.prompt?.virtualTokens ?? 0, timing: this.#timing(now) })
    return true
  }

  #timing (now: number): Timing {
    const startedAt = this.startedAt ?? now
    return { queueMs: rounded(startedAt - this.#options.arrivedAt), prefillMs: rounded(this.#firstResultAt - startedAt), decodeMs: rounded(now - this.#firstResultAt) }
  }
}

/** Hundredths of a millisecond are below the noise. */
function rounded (ms: number): number {
  return Math.round(ms * 100) / 100
}
