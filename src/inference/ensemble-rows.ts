/**
 * Several prompts that answer one request together: a row for each. The rows take the input in one after the other, and
 * then all go on with the same tokens, each behind its own prompt. Of a classification there is one row at a time.
 */
import type { ServiceError } from '../errors.js'
import { labelScores } from './classify.js'
import type { CompiledPrompt } from './compiled-prompt.js'
import { MeanLogProbabilities } from './mean-log-probabilities.js'
import { weightOf } from './protocol.js'
import { nextOf, type Outcome, type Row, toRun } from './row.js'
import { checkFinite, Sequence, type SequenceOptions } from './sequence.js'

/** Of at least two prompts with the same labels. */
export interface EnsembleOptions extends SequenceOptions {
  /** Labels, or tokens of the vocabulary. */
  readonly choices: number
}

/** The rows of one ensemble and what they share. */
class Ensemble {
  readonly options: EnsembleOptions
  /** Without a slot: it says what comes of the votes. */
  readonly speaker: Sequence
  /** Those that have a slot or wait for one. The last member is the first, so that no row moves up when all leave. */
  readonly rows: EnsembleRow[] = []
  ended = false
  readonly #votes: MeanLogProbabilities
  readonly #means: Float32Array
  #accepted = 0

  constructor (options: EnsembleOptions) {
    this.options = options
    this.speaker = new Sequence(options)
    this.#votes = new MeanLogProbabilities(options.choices)
    this.#means = new Float32Array(this.speaker.generates ? options.choices : 0)
    this.rows.push(new EnsembleRow(this, 0))
  }

  get members (): number { return this.options.prompts.count }

  acceptLabels (row: EnsembleRow, hidden: Float32Array): Outcome {
    this.#votes.add(labelScores(hidden, this.options.prompts.labelsOf(row.member)))
    const next = this.#successorOf(row)
    if (next === null) return this.speaker.sayLabels([...this.#votes.take(new Float64Array(this.options.choices))])
    this.rows.splice(0, 1, next)
    return { next, stays: false }
  }

  acceptInput (row: EnsembleRow, logits: Float32Array): Outcome {
    this.#votes.add(logits)
    const next = this.#successorOf(row)
    if (next !== null) {
      row.rowsToCome = 0
      this.rows.unshift(next)
      return { next, stays: true }
    }
    for (const each of this.rows) each.inputsToCome = 0
    return this.#say()
  }

  /** The step is complete for the ensemble when every row has its scores. */
  acceptToken (): Outcome {
    if (++this.#accepted < this.members) return 'goes-on'
    this.#accepted = 0
    for (const row of this.rows.toReversed()) this.#votes.add(row.logits)
    return this.#say()
  }

  #successorOf ({ member }: EnsembleRow): EnsembleRow | null {
    return member + 1 < this.members ? new EnsembleRow(this, member + 1) : null
  }

  #say (): 'goes-on' | 'ended' {
    return this.speaker.say(this.#votes.take(this.#means))
  }
}

export class EnsembleRow implements Row {
  readonly member: number
  readonly arrival: number
  readonly tenant: string
  readonly weight: number
  readonly mayLeave = false
  passed = 0
  remaining: number
  rowsToCome: number
  inputsToCome: number
  length = 0
  /** Of its last token; dead after the step. */
  logits: Float32Array = new Float32Array(0)
  readonly #ensemble: Ensemble
  #startedAt: number | null = null

  constructor (ensemble: Ensemble, member: number) {
    const { arrival, request } = ensemble.options
    this.#ensemble = ensemble
    this.member = member
    this.arrival = arrival
    this.tenant = request.tenant
    this.weight = weightOf(request)
    this.remaining = toRun(request.inputIds, this.prompt)
    this.inputsToCome = ensemble.members - 1 - member
    this.rowsToCome = this.generates ? this.inputsToCome : 0
  }

  get prompt (): CompiledPrompt | null { return this.#ensemble.options.prompts.at(this.member) }
  get generates (): boolean { return this.#ensemble.speaker.generates }
  get lastToken (): number { return this.#ensemble.speaker.lastToken }
  get company (): readonly Row[] { return this.#ensemble.rows }
  get generated (): number { return this.#ensemble.speaker.generated * this.#ensemble.members }
  get cancelled (): boolean { return this.#ensemble.speaker.cancelled }
  set cancelled (cancelled: boolean) { this.#ensemble.speaker.cancelled = cancelled }
  get startedAt (): number | null { return this.#startedAt }
  set startedAt (at: number | null) {
    this.#startedAt = at
    this.#ensemble.speaker.startedAt ??= at
  }

  releasePrompt (): void {
    this.#ensemble.options.prompts.release(this.member)
  }

  inputChunk (tokens: number): readonly number[] {
    return nextOf(this.#ensemble.options.request.inputIds, this.remaining, tokens)
  }

  accept (hidden: Float32Array, logits: Float32Array): Outcome {
    if (this.#ensemble.ended) return 'goes-on' // another row of it failed in this step
    checkFinite(hidden)
    if (!this.generates) return this.#ensemble.acceptLabels(this, hidden)
    if (this.generated === 0) return this.#ensemble.acceptInput(this, logits)
    this.logits = logits
    return this.#ensemble.acceptToken()
  }

  fail (error: ServiceError): void {
    if (!this.#ensemble.ended) this.#ensemble.speaker.fail(error)
  }

  end (): void {
    this.#ensemble.ended = true
    this.#ensemble.speaker.end()
  }
}

/** The row that takes in the input of the first member; the others come of it. */
export function newEnsemble (options: EnsembleOptions): Row {
  return new Ensemble(options).rows[0]!
}
