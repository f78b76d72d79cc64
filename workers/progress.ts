import type { JobProgressEvent } from '../src/training/job.js'

type StepEvent = Extract<JobProgressEvent, { type: 'step' }>

/** About one event in a second, whatever a step costs: enough for a progress bar, few enough for the event stream. */
const INTERVAL_MS = 1000

export interface StepReport { readonly step: number, readonly loss: number, readonly learningRate: number, readonly gradientNorm: number, readonly tokens: number }

/** Gathers steps between two events: mean loss, and the speed since the last event. `now` in milliseconds, monotonic. */
export class Progress {
  readonly #steps: number
  readonly #now: () => number
  #since: number
  #reports: StepReport[] = []
  #secondsPerStep: number | null = null

  constructor (steps: number, now: () => number) {
    this.#steps = steps
    this.#now = now
    this.#since = now()
  }

  /** Time that was not spent in training steps does not count. */
  restart (): void {
    this.#since = this.#now()
    this.#reports = []
  }

  /** The event that is due after this step, or null. */
  add (report: StepReport): StepEvent | null {
    this.#reports.push(report)
    const elapsed = this.#now() - this.#since
    if (elapsed < INTERVAL_MS && report.step < this.#steps) return null
    const seconds = Math.max(elapsed, 1) / 1000
    const count = this.#reports.length
    const perStep = seconds / count
    this.#secondsPerStep = this.#secondsPerStep === null ? perStep : 0.8 * this.#secondsPerStep + 0.2 * perStep
    const event: StepEvent = {
      type: 'step',
      step: report.step,
      steps: this.#steps,
      loss: this.#reports.reduce((sum, one) => sum + one.loss, 0) / count,
      learning_rate: report.learningRate,
      grad_norm: report.gradientNorm,
      tokens_per_second: Math.round(this.#reports.reduce((sum, one) => sum + one.tokens, 0) / seconds),
      eta_seconds: Math.round(this.#secondsPerStep * (this.#steps - report.step))
    }
    this.restart()
    return event
  }
}
