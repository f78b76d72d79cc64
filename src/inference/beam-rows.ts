/** A beam search in the engine: one row until its input has run, then one for each beam. */
import { ServiceError } from '../errors.js'
import { BeamSearch } from './beam-search.js'
import type { CompiledPrompt } from './compiled-prompt.js'
import { type BeamWork, weightOf } from './protocol.js'
import { nextOf, type Rearrangement, type Row, timingOf, toRun } from './row.js'
import { checkFinite, type SequenceOptions } from './sequence.js'

/** The rows of one search, what they share, and the order of their beams. */
class BeamGroup {
  readonly options: SequenceOptions
  readonly rows: BeamRow[] = []
  startedAt: number | null = null
  cancelled = false
  ended = false
  generated = 0
  readonly #work: BeamWork
  readonly #search: BeamSearch
  /** Rows by the rank of their beam. */
  #ranked: BeamRow[]
  /** Positions that all beams have in common. */
  #common = 0
  #accepted = 0
  #firstResultAt = 0

  constructor (options: SequenceOptions, work: BeamWork) {
    this.options = options
    this.#work = work
    this.#search = new BeamSearch({ ...work, maxTokens: options.maxTokens })
    this.rows.push(new BeamRow(this, toRun(options.request.inputIds, options.prompts.at(0)), work.beams - 1))
    this.#ranked = [...this.rows]
  }

  /** The step is complete for the search when every row has its scores. */
  accept (): 'goes-on' | 'ended' | Rearrangement {
    if (++this.#accepted < this.rows.length) return 'goes-on'
    this.#accepted = 0
    const now = performance.now()
    if (this.#firstResultAt === 0) this.#firstResultAt = now
    this.generated += this.#work.beams
    const over = this.#search.step(rank => this.#ranked[rank]!.logits)
    return over ? this.#finish(now) : this.#rearrange()
  }

  fail (error: ServiceError): void {
    if (!this.ended) this.options.emit({ type: 'failed', code: error.code, message: error.message })
  }

  end (): void {
    if (this.ended) return
    this.ended = true
    this.options.onEnd()
  }

  #finish (now: number): 'ended' {
    const { emit, prompts: { virtualTokens }, arrivedAt } = this.options
    const timing = timingOf({ arrivedAt, startedAt: this.startedAt, firstResultAt: this.#firstResultAt }, now)
    emit({ type: 'beams', beams: this.#search.answers.slice(0, this.#work.answers), generated: this.generated, virtualTokens, timing })
    return 'ended'
  }

  /** The first continuation of a beam stays in its row; every other one gets the row of a beam that is not continued. */
  #rearrange (): Rearrangement {
    const { parents, tokens, running } = this.#search
    const start = this.#common
    const added = Array.from({ length: running - this.rows.length }, () => new BeamRow(this, 0, 0))
    if (added.length > 0) {
      const [first] = this.rows as [BeamRow]
      first.rowsToCome = 0
      this.#common = first.length
      for (const row of added) row.length = first.length
      this.rows.push(...added)
    }
    const continued = new Set<BeamRow>()
    const ranked: Array<BeamRow | null> = []
    for (let rank = 0; rank < running; rank++) {
      const parent = this.#ranked[parents[rank]!]!
      ranked.push(continued.has(parent) ? null : parent)
      continued.add(parent)
    }
    const free = this.rows.filter(row => !continued.has(row))
    const copies: Array<{ from: Row, to: Row }> = []
    this.#ranked = ranked.map((row, rank) => {
      const own = row ?? free.shift()!
      if (row === null) copies.push({ from: this.#ranked[parents[rank]!]!, to: own })
      own.lastToken = tokens[rank]!
      return own
    })
    return { added, copies, start }
  }
}

export class BeamRow implements Row {
  readonly arrival: number
  readonly tenant: string
  readonly weight: number
  readonly mayLeave = false
  passed = 0
  remaining: number
  rowsToCome: number
  readonly inputsToCome = 0
  length = 0
  lastToken = -1
  /** Of its last result; dead after the step. */
  logits: Float32Array = new Float32Array(0)
  readonly generates = true
  readonly #group: BeamGroup

  constructor (group: BeamGroup, remaining: number, rowsToCome: number) {
    this.#group = group
    this.arrival = group.options.arrival
    this.tenant = group.options.request.tenant
    this.weight = weightOf(group.options.request)
    this.remaining = remaining
    this.rowsToCome = rowsToCome
  }

  get prompt (): CompiledPrompt | null { return this.#group.options.prompts.at(0) }
  get company (): readonly Row[] { return this.#group.rows }
  get generated (): number { return this.#group.generated }
  get startedAt (): number | null { return this.#group.startedAt }
  set startedAt (at: number | null) { this.#group.startedAt = at }
  get cancelled (): boolean { return this.#group.cancelled }
  set cancelled (cancelled: boolean) { this.#group.cancelled = cancelled }

  releasePrompt (): void {
    this.#group.options.prompts.release(0)
  }

  inputChunk (tokens: number): readonly number[] {
    return nextOf(this.#group.options.request.inputIds, this.remaining, tokens)
  }

  accept (hidden: Float32Array, logits: Float32Array): 'goes-on' | 'ended' | Rearrangement {
    if (this.#group.ended) return 'goes-on' // another row of it failed in this step
    checkFinite(hidden)
    this.logits = logits
    return this.#group.accept()
  }

  fail (error: ServiceError): void { this.#group.fail(error) }
  end (): void { this.#group.end() }
}

/** The row that takes in the input of a beam search; the others come of it. */
export function newBeamSearch (options: SequenceOptions, work: BeamWork): Row {
  return new BeamGroup(options, work).rows[0]!
}
