/** Prometheus metrics of a worker: what became of its jobs, and how the running one goes. */
import { Counter, Gauge, type Registry as MetricsRegistry } from 'prom-client'
import type { JobProgressEvent } from '../src/training/job.js'
import type { JobOutcome } from './process-job.js'

export class JobMetrics {
  readonly #ended: Counter<'outcome'>
  readonly #running: Gauge
  readonly #progress: Gauge
  readonly #tokensPerSecond: Gauge

  constructor (registry: MetricsRegistry) {
    const registers = [registry]
    this.#ended = new Counter({ name: 'permafrost_jobs_total', help: 'Attempts at jobs that ended here; error: tried again, or failed for a reason that is not the job\'s.', labelNames: ['outcome'], registers })
    this.#running = new Gauge({ name: 'permafrost_job_running', help: '1 while this worker trains.', registers })
    this.#progress = new Gauge({ name: 'permafrost_job_progress', help: 'Steps done of the running job, 0 to 1.', registers })
    this.#tokensPerSecond = new Gauge({ name: 'permafrost_job_tokens_per_second', help: 'Speed of the running job.', registers })
  }

  started (): void {
    this.#running.set(1)
  }

  observe (event: JobProgressEvent): void {
    if (event.type !== 'step') return
    this.#progress.set(event.step / event.steps)
    this.#tokensPerSecond.set(event.tokens_per_second)
  }

  ended (outcome: JobOutcome | 'for_newer_worker' | 'error'): void {
    this.#ended.inc({ outcome })
    for (const gauge of [this.#running, this.#progress, this.#tokensPerSecond]) gauge.set(0)
  }
}
