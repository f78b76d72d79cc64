import { mkdirSync, renameSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { forgetChildren } from './leftovers.js'
import { apiPlan, inferencePlan, type PlanContext, workerPlan } from './service-plans.js'
import { SupervisedProcess } from './supervised-process.js'

/** A log that has grown beyond this is set aside at the next start. */
const MAX_LOG_BYTES = 10_000_000

/** Inference, api and workers, each started again when it ends by itself. */
export class ServiceProcesses {
  readonly #context: PlanContext
  readonly #inference: SupervisedProcess
  readonly #api: SupervisedProcess
  readonly #workers: readonly SupervisedProcess[]

  constructor (context: PlanContext, say: (line: string) => void) {
    this.#context = context
    this.#inference = new SupervisedProcess(inferencePlan(context), say)
    this.#api = new SupervisedProcess(apiPlan(context), say)
    this.#workers = Array.from({ length: context.config.WORKERS }, (_, i) => new SupervisedProcess(workerPlan(context, i + 1), say))
  }

  /** Resolves when all are ready. @throws Error when one of them does not start; `stop` ends the others */
  async start (): Promise<void> {
    mkdirSync(this.#context.logs, { recursive: true })
    const all = [this.#inference, this.#api, ...this.#workers]
    for (const { name } of all) setAside(join(this.#context.logs, `${name}.log`))
    await Promise.all(all.map(async process => await process.start()))
  }

  async stop (): Promise<void> {
    // No new requests, then no new steps of training, and only then the model that the last answers need.
    await this.#api.stop()
    await Promise.all(this.#workers.map(async worker => await worker.stop()))
    await this.#inference.stop()
    forgetChildren(this.#context.children)
  }
}

function setAside (log: string): void {
  const size = statSync(log, { throwIfNoEntry: false })?.size ?? 0
  if (size > MAX_LOG_BYTES) renameSync(log, `${log}.1`)
}
