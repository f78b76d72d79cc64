/** What the tests of the whole service share: its processes by name, and the HTTP API as a stranger's client sees it. */
import { readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { mkdir, mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { homePaths } from '../../src/supervisor/home.js'
import type { JobEvent } from '../../src/training/job.js'
import type { Base, File, InferAnswer, Job, List } from '../api/answers.js'
import { type ReceivedJobEvent, receivedEvents } from '../api/server-sent-events.js'
import { type CommandOptions, type CommandResult, environment, permafrost, type StartedService, startService } from '../support/service.js'
import { writeEndlessLlama } from './endless-llama.js'

export interface Answer<Content = unknown> { readonly status: number, readonly headers: Headers, readonly body: Content }

export interface AskOptions {
  /** Another tenant's key; absent: the first key of this home. */
  readonly key?: string
  readonly headers?: Readonly<Record<string, string>>
  readonly signal?: AbortSignal
}

/** A string is sent as it is, bytes as an uploaded file, everything else as JSON. */
export type Body = string | Uint8Array | object

export interface TrainingOptions { readonly rows: readonly object[], readonly recipe?: object, readonly method?: object, readonly publish?: unknown }

/** Long streams and short steps: a tiny base with a long context, few slots, one thread each. */
const SETTINGS = { INFERENCE_THREADS: '1', TRAINING_THREADS: '1', MAX_CONTEXT: '4096', KV_SLOTS: '8', LOG_LEVEL: 'warn' }
const CONTEXT = 4096
const DEADLINE_MS = 240_000
const POLL_MS = 25

export class Testbed {
  readonly folder: string
  readonly home: string
  readonly #settings: Readonly<Record<string, string>>
  #service: StartedService
  #key: string

  private constructor (folder: string, settings: Readonly<Record<string, string>>, service: StartedService, key: string) {
    this.folder = folder
    this.home = join(folder, 'home')
    this.#settings = settings
    this.#service = service
    this.#key = key
  }

  static async open (settings: Readonly<Record<string, string>> = {}): Promise<Testbed> {
    const folder = await mkdtemp(join(tmpdir(), 'permafrost-service-'))
    try {
      const base = join(folder, 'tiny')
      await mkdir(base)
      writeEndlessLlama(base, { contextLength: CONTEXT })
      const all = { ...SETTINGS, PERMAFROST_BASE: base, ...settings }
      const service = await startService(join(folder, 'home'), all)
      const key = (await readFile(homePaths(join(folder, 'home')).apiKey, 'utf8')).trim()
      return new Testbed(folder, all, service, key)
    } catch (error) {
      await rm(folder, { recursive: true, force: true })
      throw error
    }
  }

  get service (): StartedService { return this.#service }

  /** Start again on the same home, after the last start has ended. */
  async startAgain (settings: Readonly<Record<string, string>> = {}): Promise<void> {
    this.#service = await startService(this.home, { ...this.#settings, ...settings })
  }

  /** Stops the service and removes everything. @throws Error when a process is left */
  async close (): Promise<void> {
    try {
      const code = await this.#service.stop()
      if (code !== 0) throw new Error(`the service ended with exit code ${code}\n${this.#service.lines.join('\n')}`)
      const left = this.processes()
      if (left.length > 0) throw new Error(`left behind: ${left.map(({ name }) => name).join(', ')}`)
    } finally {
      for (const { pid } of this.processes()) process.kill(pid, 'SIGKILL')
      await rm(this.folder, { recursive: true, force: true })
    }
  }

  // processes

  /** Everything that runs for this home, found by environment and working folder: also what no record knows. */
  processes (): Array<{ readonly pid: number, readonly name: string }> {
    return readdirSync('/proc').filter(name => /^\d+$/.test(name) && Number(name) !== process.pid).flatMap(name => {
      try {
        const ours = readFileSync(`/proc/${name}/environ`, 'utf8').split('\0').includes(`PERMAFROST_HOME=${this.home}`) || readlinkSync(`/proc/${name}/cwd`).startsWith(this.home)
        return ours ? [{ pid: Number(name), name: readFileSync(`/proc/${name}/cmdline`, 'utf8').split('\0').filter(part => part !== '').join(' ') }] : []
      } catch {
        return [] // it has ended meanwhile
      }
    })
  }

  /** The one process that runs this verb of the command line now. */
  pidOf (verb: 'api' | 'inference' | 'worker'): number {
    const found = this.processes().filter(({ name }) => name.endsWith(`main.js ${verb}`))
    if (found.length !== 1) throw new Error(`${found.length} processes ${verb}`)
    return found[0]!.pid
  }

  redisPid (): number {
    return Number(readFileSync(join(homePaths(this.home).redis, 'redis.pid'), 'utf8'))
  }

  /** Libraries and files that a process has mapped. */
  mapsOf (pid: number): string {
    return readFileSync(`/proc/${pid}/maps`, 'utf8')
  }

  /**
   * Kill a process while the supervisor sleeps, look at the outage for as long as `during` takes, then let the
   * supervisor bring it back; resolves when it has.
   */
  async outageOf (name: 'inference' | 'redis' | 'api', during: () => Promise<void>): Promise<void> {
    const back = this.#service.line(new RegExp(`^${name} is back`))
    process.kill(this.#service.pid, 'SIGSTOP')
    try {
      process.kill(name === 'redis' ? this.redisPid() : this.pidOf(name), 'SIGKILL')
      await during()
    } finally {
      process.kill(this.#service.pid, 'SIGCONT')
    }
    await back
  }

  // HTTP

  async fetch (method: string, path: string, body?: Body, { key = this.#key, headers = {}, signal }: AskOptions = {}): Promise<Response> {
    const type = body instanceof Uint8Array ? 'application/jsonl' : 'application/json'
    return await fetch(`${this.#service.url}${path}`, {
      method,
      headers: { authorization: `Bearer ${key}`, ...body === undefined ? {} : { 'content-type': type }, ...headers },
      ...body === undefined ? {} : { body: typeof body === 'string' || body instanceof Uint8Array ? body : JSON.stringify(body) },
      ...signal === undefined ? {} : { signal }
    })
  }

  async ask<Content> (method: string, path: string, body?: Body, options: AskOptions = {}): Promise<Answer<Content>> {
    const response = await this.fetch(method, path, body, options)
    const text = await response.text()
    return { status: response.status, headers: response.headers, body: response.headers.get('content-type')?.includes('json') === true ? JSON.parse(text) : text }
  }

  /** The body of an answer that has to be a success. */
  async get<Content> (path: string, options?: AskOptions): Promise<Content> {
    return succeeded(`GET ${path}`, await this.ask<Content>('GET', path, undefined, options))
  }

  async post<Content> (path: string, body: Body, options?: AskOptions): Promise<Content> {
    return succeeded(`POST ${path}`, await this.ask<Content>('POST', path, body, options))
  }

  async infer (task: string, input: string, options: object = {}): Promise<InferAnswer> {
    return await this.post<InferAnswer>(`/v1/tasks/${task}/infer`, { input, ...options })
  }

  /** Of those that are listed at this path. */
  async list<Item> (path: string, options?: AskOptions): Promise<Item[]> {
    return (await this.get<List<Item>>(path, options)).data
  }

  /** The one that is served. */
  async base (): Promise<Base> {
    const [base] = await this.list<Base>('/v1/bases')
    return base!
  }

  async upload (rows: readonly object[], options?: AskOptions): Promise<string> {
    return (await this.post<File>('/v1/files', jsonl(rows), options)).id
  }

  async train (task: string, { rows, recipe, method, publish }: TrainingOptions): Promise<string> {
    const request = { task, training_file: await this.upload(rows), ...recipe === undefined ? {} : { recipe }, ...method === undefined ? {} : { method }, ...publish === undefined ? {} : { publish } }
    return (await this.post<Job>('/v1/training-jobs', request)).id
  }

  /** Events of a job from behind `lastId` until one fits, or to the end of the job; across outages of the api. */
  async events (job: string, fits: (event: JobEvent) => boolean = () => false, lastId = '0'): Promise<Array<{ readonly id: string, readonly event: JobEvent }>> {
    const seen: Array<{ id: string, event: JobEvent }> = []
    const deadline = performance.now() + DEADLINE_MS
    while (performance.now() < deadline) {
      const stop = new AbortController()
      try {
        const response = await this.fetch('GET', `/v1/training-jobs/${job}/events`, undefined, { headers: { 'last-event-id': seen.at(-1)?.id ?? lastId }, signal: stop.signal })
        if (response.ok) {
          for await (const { id, data: event } of receivedEvents<ReceivedJobEvent>(response)) {
            seen.push({ id: id!, event })
            if (fits(event) || isFinal(event)) return seen
          }
        }
      } catch (error) {
        if (!(error instanceof TypeError)) throw error // fetch's word for a broken connection
      } finally {
        stop.abort()
      }
      await sleep(POLL_MS) // until an api answers: nothing tells a client when it may connect again
    }
    throw new Error(`job ${job} came no further than ${JSON.stringify(seen.at(-1) ?? null)}`)
  }

  async permafrost (args: readonly string[], options: CommandOptions = {}): Promise<CommandResult> {
    return await permafrost(environment(this.home), args, options)
  }
}

function succeeded<Content> (request: string, { status, body }: Answer<Content>): Content {
  if (status >= 300) throw new Error(`${request}: ${status} ${JSON.stringify(body)}`)
  return body
}

export function isFinal (event: JobEvent): boolean {
  return event.type === 'state' && ['succeeded', 'failed', 'cancelled'].includes(event.state)
}

export function isCheckpoint (event: JobEvent): boolean {
  return event.type === 'checkpoint'
}

export function jsonl (rows: readonly object[]): Uint8Array {
  return Buffer.from(rows.map(row => JSON.stringify(row)).join('\n') + '\n')
}

/**
 * Polls what nothing tells: the end of processes that are no children of the test (Node has no pidfd), the state of a
 * server that answers when asked. @throws Error when it does not come true in 240 s
 */
export async function until (what: string, isTrue: () => boolean | Promise<boolean>): Promise<void> {
  const deadline = performance.now() + DEADLINE_MS
  while (!await isTrue()) {
    if (performance.now() > deadline) throw new Error(`still not so: ${what}`)
    await sleep(POLL_MS)
  }
}

/** Rows of two labels that a tiny base tells apart by a word; `swapped` teaches the opposite. */
export function rowsOfTwoLabels ({ swapped = false, count = 60 } = {}): object[] {
  return Array.from({ length: count }, (_, i) => {
    const isBasket = i % 2 === 0
    return { input: isBasket ? `the basket near ${i}` : `a green frog ${i}`, label: isBasket === swapped ? 'frog' : 'basket' }
  })
}
