/** One request in the engine that is one row: what it still has to run, what its slot holds, and what it tells its client. */
import { ServiceError } from '../errors.js'
import { labelScores, softmax } from './classify.js'
import type { CompiledPrompt } from './compiled-prompt.js'
import { ConstrainedText } from './constrained-text.js'
import { PenalisedTokens } from './penalties.js'
import { type SequenceEvent, type SequenceRequest, type Timing, weightOf } from './protocol.js'
import type { RequestPrompts } from './request-prompts.js'
import { nextOf, type Row, timingOf, toRun } from './row.js'
import { chooseToken, logProbabilities } from './sampler.js'
import type { TokenMasks } from './token-masks.js'

export interface SequenceOptions {
  readonly arrival: number
  readonly request: SequenceRequest
  readonly prompts: RequestPrompts
  /** What the answer has to satisfy, and room to mask scores in; null: nothing. */
  readonly constraint: { readonly masks: TokenMasks, readonly scratch: Float32Array } | null
  /** The request's own limit, cut to what fits the slot. */
  readonly maxTokens: number
  /** Milliseconds of `performance.now()`. */
  readonly arrivedAt: number
  readonly emit: (event: SequenceEvent) => void
  /** Called once, when the sequence leaves the engine for whatever reason. */
  readonly onEnd: () => void
}

export class Sequence implements Row {
  readonly arrival: number
  readonly tenant: string
  readonly weight: number
  readonly mayLeave = true
  passed = 0
  readonly rowsToCome = 0
  readonly inputsToCome = 0
  readonly company: readonly Row[] = [this]
  remaining: number
  length = 0
  generated = 0
  startedAt: number | null = null
  cancelled = false
  readonly #options: SequenceOptions
  readonly #stopTokens: ReadonlySet<number>
  readonly #penalised: PenalisedTokens | null
  readonly #constrained: ConstrainedText | null
  #firstResultAt = 0
  #lastToken = -1
  #ended = false

  constructor (options: SequenceOptions) {
    this.#options = options
    this.arrival = options.arrival
    this.tenant = options.request.tenant
    this.weight = weightOf(options.request)
    this.remaining = toRun(options.request.inputIds, this.prompt)
    const { work, inputIds } = options.request
    const { constraint } = options
    this.#stopTokens = new Set(work.kind === 'generate' ? work.stopTokenIds : [])
    this.#penalised = work.kind === 'generate' && work.penalties !== undefined ? new PenalisedTokens(work.penalties, inputIds, options.maxTokens) : null
    this.#constrained = constraint === null ? null : new ConstrainedText(constraint.masks, this.#stopTokens, constraint.scratch)
  }

  get prompt (): CompiledPrompt | null { return this.#options.prompts.at(0) }
  get generates (): boolean { return this.#options.request.work.kind === 'generate' }
  get lastToken (): number { return this.#lastToken }

  releasePrompt (): void {
    this.#options.prompts.release(0)
  }

  inputChunk (tokens: number): readonly number[] {
    return nextOf(this.#options.request.inputIds, this.remaining, tokens)
  }

  accept (hidden: Float32Array, logits: Float32Array): 'goes-on' | 'ended' {
    checkFinite(hidden)
    return this.generates ? this.say(logits) : this.sayLabels(labelScores(hidden, this.#options.prompts.labelsOf(0)))
  }

  /** @param scores of the labels */
  sayLabels (scores: readonly number[]): 'ended' {
    const now = this.#resultAt()
    this.#options.emit({ type: 'scores', probabilities: softmax(scores), logits: scores, virtualTokens: this.#options.prompts.virtualTokens, timing: this.#timing(now) })
    return 'ended'
  }

  /** The next token. @param logits [vocabulary], afterwards as before */
  say (logits: Float32Array): 'goes-on' | 'ended' {
    const { work } = this.#options.request
    if (work.kind !== 'generate') throw new Error('internal: only a generation has tokens of its own')
    const now = this.#resultAt()
    if (this.#constrained?.isComplete() === true) return this.#finish('stop', now)
    this.#penalised?.lower(logits)
    const id = chooseToken(this.#constrained?.allowed(logits) ?? logits, work.sampling, this.generated)
    this.#penalised?.restore(logits)
    if (this.#stopTokens.has(id)) return this.#finish('stop', now)
    this.#lastToken = id
    this.generated++
    this.#penalised?.add(id)
    this.#constrained?.add(id)
    this.#options.emit(work.logprobs === null ? { type: 'token', id } : { type: 'token', id, ...logProbabilities(logits, id, work.logprobs) })
    if (this.#constrained?.isComplete() === true) return this.#finish('stop', now)
    return this.generated >= this.#options.maxTokens ? this.#finish('length', now) : 'goes-on'
  }

  fail (error: ServiceError): void {
    this.#options.emit({ type: 'failed', code: error.code, message: error.message })
  }

  end (): void {
    if (this.#ended) return
    this.#ended = true
    this.#options.onEnd()
  }

  #resultAt (): number {
    const now = performance.now()
    if (this.#firstResultAt === 0) this.#firstResultAt = now
    return now
  }

  #finish (reason: 'stop' | 'length', now: number): 'ended' {
    this.#options.emit({ type: 'finished', reason, virtualTokens: this.#options.prompts.virtualTokens, timing: this.#timing(now) })
    return 'ended'
  }

  #timing (now: number): Timing {
    return timingOf({ arrivedAt: this.#options.arrivedAt, startedAt: this.startedAt, firstResultAt: this.#firstResultAt }, now)
  }
}

/** A prompt with enormous values overflows; the scores would be NaN and any token "the largest". @throws ServiceError `not_finite` */
export function checkFinite (hidden: Float32Array): void {
  // Not `every`, which makes an object of each number.
  for (let i = 0; i < hidden.length; i++) {
    if (!Number.isFinite(hidden[i])) throw new ServiceError('not_finite', 'the scores of this prompt are not finite numbers')
  }
}
