/** The api's side of `protocol.ts`: events as they arrive, refusals as the `ServiceError` they were there. */
import { Agent, request as httpRequest, type IncomingMessage } from 'node:http'
import { ERROR_CODES, ServiceError, type ErrorCode } from '../errors.js'
import type { InferenceAddress } from './client-address.js'
import type { InferenceClient } from './client-contract.js'
import type { SequenceEvent, SequenceRequest, StatusReport } from './protocol.js'

const STATUS_TIMEOUT_MS = 5000
/** The supervisor has a dead process back within a second or two. */
const RETRY_AFTER = 2
const FINAL: ReadonlySet<SequenceEvent['type']> = new Set(['scores', 'finished', 'failed'])

export class HttpInferenceClient implements InferenceClient {
  readonly #address: InferenceAddress
  // Every running sequence holds one connection; the inference process bounds how many there are.
  readonly #agent = new Agent({ keepAlive: true, maxFreeSockets: 64 })

  constructor (address: InferenceAddress) {
    this.#address = address
  }

  async * run (request: SequenceRequest, signal: AbortSignal): AsyncGenerator<SequenceEvent> {
    const response = await this.#send('POST', '/sequences', JSON.stringify(request), signal)
    let complete = false
    try {
      if (response.statusCode !== 200) throw await refusal(response)
      for await (const line of lines(response)) {
        const event = JSON.parse(line) as SequenceEvent
        complete = FINAL.has(event.type)
        yield event
        if (complete) return
      }
      throw unavailable('the inference process closed the connection before the answer was complete')
    } catch (error) {
      signal.throwIfAborted()
      throw error instanceof ServiceError ? error : unavailable('the connection to the inference process broke', error)
    } finally {
      // Reading to the end gives the connection back for the next request; closing it cancels the sequence.
      if (complete) response.resume()
      else response.destroy()
    }
  }

  async status (): Promise<StatusReport> {
    const signal = AbortSignal.timeout(STATUS_TIMEOUT_MS)
    try {
      const response = await this.#send('GET', '/status', null, signal)
      if (response.statusCode !== 200) throw await refusal(response)
      return JSON.parse(await text(response)) as StatusReport
    } catch (error) {
      throw error instanceof ServiceError ? error : unavailable('the inference process gave no status', error)
    }
  }

  async close (): Promise<void> {
    this.#agent.destroy()
  }

  async #send (method: string, path: string, body: string | null, signal: AbortSignal): Promise<IncomingMessage> {
    for (;;) {
      try {
        return await this.#sendOnce(method, path, body, signal)
      } catch (error) {
        signal.throwIfAborted()
        // A kept connection that the other side closed in this moment never carried the request: take another one.
        if (error instanceof StaleConnection) continue
        throw unavailable('the inference process cannot be reached', error)
      }
    }
  }

  #sendOnce (method: string, path: string, body: string | null, signal: AbortSignal): Promise<IncomingMessage> {
    return new Promise((resolve, reject) => {
      const headers = body === null ? {} : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) }
      const outgoing = httpRequest({ ...this.#address, method, path, headers, agent: this.#agent, signal }, resolve)
      outgoing.on('error', (error: NodeJS.ErrnoException) => {
        reject(outgoing.reusedSocket && (error.code === 'ECONNRESET' || error.code === 'EPIPE') ? new StaleConnection() : error)
      })
      outgoing.end(body ?? undefined)
    })
  }
}

class StaleConnection extends Error { override readonly name = 'StaleConnection' }

function unavailable (message: string, cause?: unknown): ServiceError {
  return new ServiceError('inference_unavailable', message, { retryAfter: RETRY_AFTER, cause })
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
    const retryAfter = response.headers['retry-after']
    return new ServiceError(error.code, error.message, { ...(error.param === null ? {} : { param: error.param }), ...(retryAfter === undefined ? {} : { retryAfter: Number(retryAfter) }) })
  } catch (cause) {
    return new ServiceError('internal', `the inference process answered ${response.statusCode} without an error body`, { cause })
  }
}
