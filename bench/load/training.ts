/** A training job that goes on for as long as a benchmark wants it. */
import { EventEmitter, once } from 'node:events'
import type { ApiClient } from '../../src/cli/api-client.js'
import { FINAL_STATES, type JobEvent } from '../../src/training/job.js'
import { BenchFailure } from '../failure.js'
import { snips } from './snips.js'

/** More steps than any phase takes, and one evaluation at their end: all that is seen are steps. */
const ENDLESS = { max_steps: 1_000_000, evaluations: 1 }

interface Step { readonly at: number, readonly step: number }

export class Training {
  readonly #client: ApiClient
  readonly #id: string
  readonly #steps: Step[] = []
  readonly #news = new EventEmitter()
  readonly #ended: Promise<void>

  private constructor (client: ApiClient, id: string) {
    this.#client = client
    this.#id = id
    this.#ended = this.#follow()
    // Heard by whoever waits for a step or the end.
    this.#ended.catch((error: unknown) => this.#news.emit('error', error))
    this.#news.on('error', () => {})
  }

  /** On SNIPS, by the defaults; resolves at the job's first step. @throws BenchFailure when it ends before */
  static async start (client: ApiClient): Promise<Training> {
    const { file, task } = snips()
    const existing = await client.get<{ data: ReadonlyArray<{ name: string }> }>('/v1/tasks')
    if (!existing.data.some(({ name }) => name === task.name)) await client.post('/v1/tasks', task)
    const { id: training_file } = await client.upload<{ id: string }>('/v1/files?name=snips.jsonl', file, 'application/jsonl')
    const { id } = await client.post<{ id: string }>('/v1/training-jobs', { task: task.name, training_file, recipe: ENDLESS })
    const training = new Training(client, id)
    await training.nextStep()
    return training
  }

  async nextStep (): Promise<void> {
    await once(this.#news, 'step')
  }

  /** Resolves when the worker has let go of it. @throws BenchFailure when it did not train until now */
  async stop (): Promise<void> {
    await this.#client.post(`/v1/training-jobs/${this.#id}/cancel`)
    await this.#ended
  }

  /** In a second, from `from` to `to` on the clock of `performance.now`; by the steps whose events came then and the last one before. */
  stepsPerSecond (from: number, to: number): number {
    const within = this.#steps.filter(({ at }) => at >= from && at <= to)
    const first = this.#steps.findLast(({ at }) => at < from) ?? within[0]
    const last = within.at(-1)
    return first === undefined || last === undefined || last === first ? 0 : (last.step - first.step) * 1000 / (last.at - first.at)
  }

  async #follow (): Promise<void> {
    for await (const { data } of this.#client.follow(`/v1/training-jobs/${this.#id}/events`, ({ data }) => isFinal(data as JobEvent))) {
      const event = data as JobEvent
      if (event.type === 'error') throw new BenchFailure(`training failed: ${event.code}: ${event.message}`)
      if (event.type === 'state' && isFinal(event) && event.state !== 'cancelled') throw new BenchFailure(`the training job ended as ${event.state}`)
      if (event.type !== 'step') continue
      this.#steps.push({ at: performance.now(), step: event.step })
      this.#news.emit('step')
    }
  }
}

function isFinal (event: JobEvent): boolean {
  return event.type === 'state' && FINAL_STATES.includes(event.state)
}
