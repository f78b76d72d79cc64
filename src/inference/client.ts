/** The api's side of `protocol.ts`, to one inference process: events as they arrive, refusals as the `ServiceError` they were there. */
import { Agent, request as httpRequest, type IncomingMessage } from 'node:http'
import type { Socket } from 'node:net'
import { ERROR_CODES, ServiceError, type ErrorCode } from '../errors.js'
import { addressOf, type InferenceAddress } from './client-address.js'
import { REPLICA_HEADER, type SequenceEvent, type SequenceRequest, type StatusReport } from './protocol.js'

const STATUS_TIMEOUT_MS = 3000
/** A host that has vanished refuses nothing: packets to it are lost. */
const CONNECT_TIMEOUT_MS = 2000
/** A dead process is back within a second or two. */
const RETRY_AFTER = 2
const FINAL: ReadonlySet<SequenceEvent['type']> = new Set(['scores', 'finished', 'beams', 'failed'])

/**
 * This process does not answer, and another one may. `refused`: it says so itself; `forbidden`: our secret is not its own;
 * `unreachable`: it never got the request; `broke`: it ended with the request, maybe because of it.
 */
export class ReplicaFailure extends ServiceError {
  readonly how: 'refused' | 'forbidden' | 'unreachable' | 'broke'

  constructor (how: ReplicaFailure['how'], code: ErrorCode, message: string, details: { readonly retryAfter?: number, readonly cause?: unknown } = {}) {
    super(code, message, { retryAfter: RETRY_AFTER, ...details })
    this.how = how
  }
}

export class ReplicaClient {
  readonly #address: InferenceAddress
  readonly #secret: string | undefined
  // Every running sequence holds one connection; the inference process bounds how many there are.
  readonly #agent = new Agent({ keepAlive: true, maxFreeSockets: 64 })
  #closed = false

  /** @param url `unix:/path` or `http://host:port` */
  constructor (url: string, secret?: string) {
    this.#address = addressOf('inference process', url)
    this.#secret = secret
  }

  /**
   * Events until the last one. Ending the iteration early or aborting cancels the sequence.
   * @param replica the process that is meant; null: whichever listens there
   * @throws ReplicaFailure, or another ServiceError when the request is to blame
   */
  async * run (request: SequenceRequest, replica: string | null, signal: AbortSignal): AsyncGenerator<SequenceEvent> {
    const response = await this.#send('POST', '/sequences', { body: JSON.stringify(request), replica, signal })
    let complete = false
    try {
      if (response.statusCode !== 200) throw await refusal(response)
      for await (const line of lines(response)) {
        const event = JSON.parse(line) as SequenceEvent
        complete = FINAL.has(event.type)
        // Its time to stop was over: another process can go on.
        if (event.type === 'failed' && event.code === 'inference_unavailable') throw new ReplicaFailure('refused', event.code, event.message)
        yield event
        if (complete) return
      }
      throw new ReplicaFailure('broke', 'inference_unavailable', 'the inference process closed the connection before the answer was complete')
    } catch (error) {
      signal.throwIfAborted()
      throw error instanceof ServiceError ? error : new ReplicaFailure('broke', 'inference_unavailable', 'the connection to the inference process broke', { cause: error })
    } finally {
      // Reading to the end gives the connection back for the next request; closing it cancels the sequence.
      if (complete) response.resume()
      else response.destroy()
    }
  }

  /** @throws ReplicaFailure */
  async status (): Promise<StatusReport> {
    const signal = AbortSignal.timeout(STATUS_TIMEOUT_MS)
    try {
      const response = await this.#send('GET', '/status', { body: null, replica: null, signal })
      if (response.statusCode !== 200) throw await refusal(response)
      return JSON.parse(await text(response)) as StatusReport
    } catch (error) {
      throw error instanceof ReplicaFailure ? error : new ReplicaFailure('unreachable', 'inference_unavailable', 'the inference process gives no status', { cause: error })
    }
  }

  /** Answers under way break. */
  close (): void {
    this.#closed = true
    this.#agent.destroy()
  }

  async #send (method: string, path: string, options: SendOptions): Promise<IncomingMessage> {
    let stale = false
    for (;;) {
      try {
        return await this.#sendOnce(method, path, options)
      } catch (error) {
        options.signal.throwIfAborted()
        // A kept connection that the other side closed in this moment: it hardly carried the request, take another one.
        if (error instanceof StaleConnection && !this.#closed) {
          stale = true
          continue
        }
        const how = stale || error instanceof BrokenConnection ? 'broke' : 'unreachable'
        throw new ReplicaFailure(how, 'inference_unavailable', 'the inference process cannot be reached', { cause: error })
      }
    }
  }

  #sendOnce (method: string, path: string, { body, replica, signal }: SendOptions): Promise<IncomingMessage> {
    return new Promise((resolve, reject) => {
      const headers = {
        ...(this.#secret === undefined ? {} : { authorization: `Bearer ${this.#secret}` }),
        ...(replica === null ? {} : { [REPLICA_HEADER]: replica }),
        ...(body === null ? {} : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) })
      }
      const outgoing = httpRequest({ ...this.#address, method, path, headers, agent: this.#agent, signal }, resolve)
      let connected = false
      outgoing.once('socket', socket => onceConnected(socket, () => { connected = true }))
      outgoing.on('error', (error: NodeJS.ErrnoException) => {
        const stale = outgoing.reusedSocket && (error.code === 'ECONNRESET' || error.code === 'EPIPE')
        reject(stale ? new StaleConnection() : connected ? new BrokenConnection('before an answer', { cause: error }) : error)
      })
      outgoing.end(body ?? undefined)
    })
  }
}

interface SendOptions { readonly body: string | null, readonly replica: string | null, readonly signal: AbortSignal }

class StaleConnection extends Error { override readonly name = 'StaleConnection' }
class BrokenConnection extends Error { override readonly name = 'BrokenConnection' }

/** Or ends the attempt when it takes too long. */
function onceConnected (socket: Socket, then: () => void): void {
  if (!socket.connecting) {
    then()
    return
  }
  const late = setTimeout(() => socket.destroy(new Error(`no connection within ${CONNECT_TIMEOUT_MS} ms`)), CONNECT_TIMEOUT_MS)
  socket.once('close', () => clearTimeout(late))
  socket.once('connect', () => {
    clearTimeout(late)
    then()
  })
}

/** Lines of a response; the socket is read no faster than they are consumed. */
async function * lines (response: IncomingMessage): AsyncGenerator<string> {
  response.setEncoding('utf8')
  let rest = ''
  for await (const chunk of response.iterator({ destroyOnReturn: false }) as AsyncIterable<string>) {
    const parts = (rest + chunk).split('\n')
    rest = parts.pop()!
    yield * parts
  }
}

async function text (response: IncomingMessage): Promise<string> {
  response.setEncoding('utf8')
  let whole = ''
  for await (const chunk of response as AsyncIterable<string>) whole += chunk
  return whole
}

/** What a non-2xx answer says, as the error it was there. */
async function refusal (response: IncomingMessage): Promise<ServiceError> {
  const body = await text(response)
  try {
    const { error } = JSON.parse(body) as { error: { code: ErrorCode, message: string, param: string | null } }
    if (!ERROR_CODES.includes(error.code)) throw new Error(`code ${String(error.code)}`)
    // Nothing that the caller's own key could mend.
    if (error.code === 'invalid_api_key') return new ReplicaFailure('forbidden', 'inference_unavailable', error.message)
    const retryAfter = response.headers['retry-after']
    if (retryAfter !== undefined) return new ReplicaFailure('refused', error.code, error.message, { retryAfter: Number(retryAfter) })
    return new ServiceError(error.code, error.message, error.param === null ? {} : { param: error.param })
  } catch (cause) {
    return new ServiceError('internal', `the inference process answered ${response.statusCode} without an error body`, { cause })
  }
}
