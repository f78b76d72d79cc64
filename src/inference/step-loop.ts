/**
 * Runs one step after another for as long as there is work: asks the scheduler what is next, gives the engine its
 * numbers, hands each row's result to its sequence. Holds no policy.
 */
import { Breath } from '../breath.js'
import { ServiceError } from '../errors.js'
import { LANES } from '../graph/serving-contract.js'
import { type CompiledPrompt, positionsOf } from './compiled-prompt.js'
import type { Engine, StepOutput } from './engine/engine.js'
import type { Rearrangement, Row, Succession } from './row.js'
import { packOutputs, type RowOutput, RowOutputs } from './row-outputs.js'
import { begin, complete, drop, enqueue, type Exchange, exchange, follow, leave, type Move, newSchedule, nextStep, remove, type Schedule, widen } from './scheduler.js'
import { type Compilation, packInput, StepInputs, type WorkStep } from './step-input.js'

export interface StepLoopOptions {
  /** Its arena has one slot more than `slots`: the last one, in which prompts are compiled. */
  readonly engine: Engine
  readonly hiddenSize: number
  readonly vocabSize: number
  readonly slots: number
  readonly maxWaiting: number
  /** Positions that may be kept outside the slots. */
  readonly maxKept: number
  /**
   * Zero what a sequence leaves behind. Attention by plain operators multiplies unused positions by zero, which a
   * number that is not finite survives; the fused kernel does not read them.
   */
  readonly scrub: boolean
  /** A step failed; the sequences in it have been told. */
  readonly onStepFailure: (error: unknown) => void
}

export class StepLoop {
  readonly schedule: Schedule<Row, Compilation>
  stepsTotal = 0
  tokensTotal = 0
  /** Inputs that were taken in together with others. */
  packedInputsTotal = 0
  readonly #options: StepLoopOptions
  readonly #cancelled = new Set<Row>()
  readonly #inputs: StepInputs
  readonly #rowOutputs = new RowOutputs()
  /** What the slots held of rows that left theirs and wait to come back. */
  readonly #kept = new Map<Row, Float32Array>()
  #running: Promise<void> | null = null
  #closed = false
  /** Most slots in use at once since the last call of `shrink`. */
  #slotsUsed = 0
  /** Slots that may have memory. */
  #slotsGrown = 0

  constructor (options: StepLoopOptions) {
    this.#options = options
    this.#inputs = new StepInputs(options.slots)
    this.schedule = newSchedule(options.slots, options.maxWaiting, options.maxKept, options.engine.pack === null ? 1 : LANES)
  }

  submit (sequence: Row): void {
    this.schedule.loading.delete(sequence.arrival)
    enqueue(this.schedule, this.schedule.waiting, sequence)
    this.#wake()
  }

  /** The sequence says no more and leaves its slot before the next step. */
  cancel (sequence: Row): void {
    sequence.cancelled = true
    this.#cancelled.add(sequence)
    this.#wake()
  }

  /**
   * Run embeddings [P, hidden], already in the graph's residual space, in the scratch slot, in the turn of the tenant
   * whose request needs them.
   * @param arrival of that request; of no request: the turn of one more tenant, without a name
   * @returns their keys and values, [layers, k|v, KH, P, D]
   */
  compile (embeddings: Float32Array, arrival: number): Promise<Float32Array> {
    const { hiddenSize, vocabSize } = this.#options
    const ids = Array.from({ length: embeddings.length / hiddenSize }, (_, row) => vocabSize + row)
    return this.#compile({ prompt: null, ids, softTable: embeddings }, arrival)
  }

  /**
   * As `compile`, token ids behind a compiled prompt; together they fit a slot.
   * @returns keys and values of both, [layers, k|v, KH, P + F, D]
   */
  extend (prompt: CompiledPrompt, ids: readonly number[], arrival: number): Promise<Float32Array> {
    return this.#compile({ prompt, ids }, arrival)
  }

  #compile (source: Pick<Compilation, 'prompt' | 'ids' | 'softTable'>, arrival: number): Promise<Float32Array> {
    return new Promise((resolve, reject) => {
      const whose = this.schedule.loading.get(arrival) ?? { tenant: '', weight: 1 }
      enqueue(this.schedule, this.schedule.compilations, { ...source, ...whose, arrival, remaining: source.ids.length, passed: 0, rowsToCome: 0, inputsToCome: 0, mayLeave: false, length: 0, done: resolve, failed: reject })
      this.#wake()
    })
  }

  /**
   * The memory of slots that no step has used since the last call goes back to the system; that of the first one stays
   * for the next request.
   * @returns how many slots gave theirs back
   */
  shrink (): number {
    const kept = Math.max(1, this.#slotsUsed, this.schedule.rows.length)
    const given = Math.max(0, this.#slotsGrown - kept)
    if (given > 0 && !this.#closed) this.#options.engine.giveBack(kept, this.#slotsGrown)
    this.#slotsGrown -= given
    this.#slotsUsed = 0
    return given
  }

  /** Stop after the step under way; everything that runs or waits is told `error`. */
  async close (error: ServiceError): Promise<void> {
    this.#closed = true
    await this.#running
    for (const sequence of [...this.schedule.rows, ...this.schedule.waiting]) {
      if (!sequence.cancelled) sequence.fail(error)
      this.#take(sequence)
    }
    for (const compilation of this.schedule.compilations.splice(0)) compilation.failed(error)
    this.schedule.compiling = null
  }

  #wake (): void {
    if (this.#running !== null || this.#closed) return
    // Behind the current callback, so that requests which arrive together are scheduled together.
    this.#running = Promise.resolve().then(() => this.#run())
  }

  async #run (): Promise<void> {
    while (!this.#closed) {
      for (const sequence of this.#cancelled) this.#take(sequence)
      this.#cancelled.clear()
      const step = nextStep(this.schedule)
      if (step.kind === 'idle') {
        // In the same turn as the decision: what is submitted a moment later must start the loop again.
        this.#running = null
        return
      }
      if (step.kind === 'leave') {
        this.#setAside(step.item, step.slot)
        continue
      }
      for (const move of begin(this.schedule, step)) this.#move(move)
      this.#slotsUsed = Math.max(this.#slotsUsed, this.schedule.rows.length)
      this.#slotsGrown = Math.max(this.#slotsGrown, this.#slotsUsed)
      if (step.kind === 'return') {
        this.#bringBack(step.item, step.slot)
        continue
      }
      if (step.kind === 'decode') for (const pair of step.exchanges) this.#exchange(pair)
      if (step.kind === 'prefill' && step.item.startedAt === null) this.#start(step.item, step.slot)
      if (step.kind === 'pack') for (const [lane, item] of step.items.entries()) this.#start(item, step.slot + lane)
      if (step.kind === 'compile' && step.item.length === 0) this.#place(step.item, this.#options.slots)
      try {
        const { engine } = this.#options
        const output = step.kind === 'pack' ? await engine.pack!(packInput(step)) : await engine.step(this.#inputs.of(step, this.schedule.rows))
        this.stepsTotal++
        complete(this.schedule, step)
        await this.#deliver(step, output)
      } catch (error) {
        this.#fail(step, error)
      }
    }
  }

  /** To the bit: a row that comes back goes on from the same keys and values. */
  #setAside (row: Row, slot: number): void {
    this.#kept.set(row, this.#options.engine.arena.read(slot, row.length))
    this.#scrub(slot, row.length)
    for (const move of leave(this.schedule, row)) this.#move(move)
  }

  #bringBack (row: Row, slot: number): void {
    this.#options.engine.arena.write(slot, this.#kept.get(row)!, row.length)
    this.#kept.delete(row)
  }

  #exchange (pair: Exchange): void {
    const [a, b] = pair
    const { rows } = this.schedule
    this.#options.engine.arena.exchange(a, b, Math.max(rows[a]!.length, rows[b]!.length))
    exchange(this.schedule, pair)
  }

  #start (sequence: Row, slot: number): void {
    sequence.startedAt = performance.now()
    this.#place(sequence, slot)
    sequence.releasePrompt()
  }

  /** Its prefix into its slot. */
  #place (item: Row | Compilation, slot: number): void {
    if (item.prompt === null) return
    item.length = positionsOf(item.prompt)
    this.#options.engine.arena.write(slot, item.prompt.prefix, item.length)
  }

  async #deliver (step: WorkStep, output: StepOutput): Promise<void> {
    const { engine, slots } = this.#options
    switch (step.kind) {
      case 'compile':
        if (step.item.remaining > 0) return
        step.item.done(engine.arena.read(slots, step.item.length))
        this.#scrub(slots, step.item.length)
        return
      case 'prefill':
        if (step.item.remaining === 0) this.#accept(step.item, output)
        return
      case 'pack':
        this.packedInputsTotal += step.items.length
        await this.#acceptEach(step.items, packOutputs(output, step.items.map(({ generates }) => generates)))
        return
      case 'decode':
        // A copy, because a finished row changes the order of the others.
        await this.#acceptEach(this.schedule.rows.slice(0, step.rows), this.#rowOutputs.of(output, step.rows))
    }
  }

  /** Between two rows others get the event loop: to draw from the scores of a whole vocabulary takes half a millisecond a row. */
  async #acceptEach (rows: readonly Row[], outputs: readonly RowOutput[]): Promise<void> {
    const breath = new Breath()
    for (let row = 0; row < rows.length; row++) {
      this.#accept(rows[row]!, outputs[row]!)
      // Asked first, because waiting for nothing makes garbage too.
      if (breath.isDue) await breath.pause()
    }
  }

  #accept (sequence: Row, { hidden, logits }: RowOutput): void {
    if (sequence.cancelled) return // it leaves before the next step
    const before = sequence.generated
    try {
      const outcome = sequence.accept(hidden, logits)
      if (outcome === 'ended') this.#take(sequence)
      else if (outcome !== 'goes-on' && 'next' in outcome) this.#follow(sequence, outcome)
      else if (outcome !== 'goes-on') this.#rearrange(outcome)
    } catch (error) {
      sequence.fail(error instanceof ServiceError ? error : new ServiceError('internal', 'the answer could not be read off the scores', { cause: error }))
      this.#take(sequence)
    }
    this.tokensTotal += sequence.generated - before
  }

  /** Whoever was in a failed step is told so; everybody else goes on. */
  #fail (step: WorkStep, error: unknown): void {
    this.#options.onStepFailure(error)
    const failure = new ServiceError('internal', 'the engine failed on this step', { cause: error })
    if (step.kind === 'compile') {
      drop(this.schedule, step.item)
      step.item.failed(failure)
      this.#scrub(this.#options.slots, step.item.length)
      return
    }
    for (const sequence of step.kind === 'pack' ? step.items : step.kind === 'prefill' ? [step.item] : this.schedule.rows.slice(0, step.rows)) {
      if (!sequence.cancelled) sequence.fail(failure)
      this.#take(sequence)
    }
  }

  #follow (row: Row, { next, stays }: Succession): void {
    if (!stays) this.#leave(row)
    follow(this.schedule, next)
  }

  #rearrange ({ added, copies, start }: Rearrangement): void {
    const { rows } = this.schedule
    if (added.length > 0) for (const move of widen(this.schedule, added)) this.#move(move)
    for (const { from, to } of copies) this.#options.engine.arena.move(rows.indexOf(from), rows.indexOf(to), from.length, start)
  }

  /** Out of the schedule with all rows of its request, each slot given to the row that closes the gap. Taking twice is harmless. */
  #take (sequence: Row): void {
    for (const row of sequence.company) this.#leave(row)
    sequence.end()
  }

  #leave (row: Row): void {
    const slot = this.schedule.rows.indexOf(row)
    const moves = remove(this.schedule, row)
    this.#kept.delete(row)
    if (slot !== -1) this.#scrub(slot, row.length)
    for (const move of moves) this.#move(move)
  }

  #move ({ item, from, to }: Move<Row>): void {
    this.#options.engine.arena.move(from, to, item.length)
    this.#scrub(from, item.length)
  }

  #scrub (slot: number, length: number): void {
    const { engine, scrub } = this.#options
    if (scrub) engine.arena.clear(slot, Math.min(length, engine.arena.shape.positions))
  }
}
