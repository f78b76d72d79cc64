/** One inference process as the api knows it: what it last said of itself, and how much of it is in use. */
import type { Logger } from 'pino'
import type { Digest } from '../digest.js'
import type { Candidate } from './choose-replica.js'
import { ReplicaClient, ReplicaFailure } from './client.js'
import type { SequenceEvent, SequenceRequest, StatusReport } from './protocol.js'

/** Who has said nothing for so long will not end its answers either. */
const HANGS_MS = 4000

export interface ReplicaOptions {
  /** The only base that may answer. */
  readonly base: Digest
  readonly secret: string | undefined
  readonly logger: Logger
}

/** `resting`: it answers and takes nothing, because it starts or stops; `unfit`: of another base, or with another secret. */
export type ReplicaState = 'ready' | 'resting' | 'silent' | 'unfit'

const SAYS: Readonly<Record<Exclude<ReplicaState, 'unfit'>, string>> = {
  ready: 'inference process is in use',
  resting: 'inference process takes nothing now',
  silent: 'inference process does not answer'
}

export class Replica implements Candidate {
  readonly url: string
  readonly #options: ReplicaOptions
  #client: ReplicaClient
  #state: ReplicaState = 'silent'
  #status: StatusReport | null = null
  #heardAt = performance.now()
  #asking: Promise<void> | null = null
  /** Requests that it has from this api. */
  #own = 0
  /** Those it had from others when it was last asked. */
  #others = 0

  constructor (url: string, options: ReplicaOptions) {
    this.url = url
    this.#options = options
    this.#client = new ReplicaClient(url, options.secret)
  }

  get state (): ReplicaState { return this.#state }
  /** What it last said; null while it is silent. */
  get status (): StatusReport | null { return this.#state === 'silent' ? null : this.#status }
  /** The process that was last heard there; null: none yet. */
  get id (): string | null { return this.#status?.id ?? null }
  get slots (): number { return this.#status?.slots ?? 1 }
  get load (): number { return this.#own + this.#others }

  /** Hear how it is now: one question, however many want to know at the same time. */
  ask (): Promise<void> {
    return this.#asking ??= this.#ask().finally(() => { this.#asking = null })
  }

  /** A request is meant for it; counts at once, so that those that come in the same moment are spread. */
  take (): void { this.#own++ }
  release (): void { this.#own-- }

  /** It has answers under way, perhaps, and gives no sign of life. */
  get hangs (): boolean { return this.#state === 'silent' && performance.now() - this.#heardAt > HANGS_MS }

  /** @throws as `ReplicaClient.run` */
  async * run (request: SequenceRequest, signal: AbortSignal): AsyncGenerator<SequenceEvent> {
    try {
      for await (const event of this.#client.run(request, this.id, signal)) {
        this.#heardAt = performance.now()
        yield event
      }
    } catch (error) {
      if (error instanceof ReplicaFailure && error.code !== 'saturated') this.#failed(error)
      throw error
    }
  }

  /** Answers under way break, so that others take them up. */
  close (): void {
    this.#client.close()
  }

  /** As `close`, and begins anew. */
  breakOff (): void {
    this.#client.close()
    this.#client = new ReplicaClient(this.url, this.#options.secret)
  }

  async #ask (): Promise<void> {
    try {
      this.#heard(await this.#client.status())
    } catch (error) {
      if (error instanceof ReplicaFailure) this.#failed(error)
      else this.#become('silent') // what listens there speaks another language
    }
  }

  #heard (status: StatusReport): void {
    this.#heardAt = performance.now()
    this.#status = status
    this.#others = Math.max(0, status.running + status.waiting - this.#own)
    const { base } = this.#options
    if (status.base !== base) this.#isUnfit(`it serves base ${status.base}, this api ${base}`)
    else this.#become(status.ready ? 'ready' : 'resting')
  }

  #failed ({ how, message }: ReplicaFailure): void {
    if (how === 'forbidden') this.#isUnfit(message)
    else this.#become(how === 'refused' ? 'resting' : 'silent')
  }

  #become (state: keyof typeof SAYS): void {
    if (this.#state === state) return
    this.#state = state
    this.#options.logger.info({ replica: this.url, id: this.id }, SAYS[state])
  }

  #isUnfit (why: string): void {
    if (this.#state === 'unfit') return
    this.#state = 'unfit'
    this.#options.logger.warn({ replica: this.url, why }, 'inference process is not used')
  }
}
