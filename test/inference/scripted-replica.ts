/** An inference process that a test plays: the real server on a socket, with answers of the test's own. */
import { createServer, type Server } from 'node:http'
import { once } from 'node:events'
import { rm } from 'node:fs/promises'
import { pino } from 'pino'
import { digestOf } from '../../src/digest.js'
import { type Backend, createInferenceServer } from '../../src/inference/server.js'
import { NO_PROMPTS, type SequenceEvent, type SequenceRequest, type ServiceStatus } from '../../src/inference/protocol.js'

export const BASE = digestOf('the base')
export const FINISHED: SequenceEvent = { type: 'finished', reason: 'stop', virtualTokens: 0, timing: { queueMs: 0, prefillMs: 1, decodeMs: 2 } }

export class ScriptedReplica {
  readonly url: string
  readonly requests: SequenceRequest[] = []
  submit: Backend['submit'] = async (_request, _signal, emit) => emit(FINISHED)
  status: ServiceStatus = {
    ready: true, base: BASE, servingGraph: digestOf('graph'), format: 'w8a8', engine: 'c-api', maxContext: 64, slots: 4,
    running: 0, waiting: 0, ...NO_PROMPTS, stepsTotal: 0, tokensTotal: 0, packedInputsTotal: 0
  }
  #server: Server = createServer()
  #starts = 0
  readonly #socket: string
  readonly #secret: string | undefined

  constructor (socket: string, secret?: string) {
    this.#socket = socket
    this.#secret = secret
    this.url = `unix:${socket}`
  }

  /** As a new process each time. */
  async start (): Promise<this> {
    const id = `${this.#socket} ${this.#starts++}`
    const backend: Backend = {
      status: () => this.status,
      submit: async (request, signal, emit) => {
        this.requests.push(request)
        await this.submit(request, signal, emit)
      }
    }
    this.#server = createInferenceServer(() => backend, { id, secret: this.#secret }, pino({ level: 'silent' }))
    await rm(this.#socket, { force: true })
    this.#server.listen({ path: this.#socket })
    await once(this.#server, 'listening')
    return this
  }

  /** As by SIGKILL. */
  die (): void {
    if (this.#server.listening) this.#server.close()
    this.#server.closeAllConnections()
  }

  /** Says these tokens and then dies. */
  saysAndDies (...ids: number[]): void {
    this.submit = async (_request, _signal, emit) => {
      for (const id of ids) emit({ type: 'token', id })
      // What is written leaves before.
      setImmediate(() => this.die())
    }
  }

  says (...ids: number[]): void {
    this.submit = async (_request, _signal, emit) => {
      for (const id of ids) emit({ type: 'token', id })
      emit(FINISHED)
    }
  }

  refuses (error: Error): void {
    this.submit = async () => { throw error }
  }
}
