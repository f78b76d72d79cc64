/** The HTTP API as the command line speaks it. */
import { setTimeout as sleep } from 'node:timers/promises'

/** A refusal by the server, as `code: message (param)`. */
export class ApiError extends Error {
  override readonly name = 'ApiError'
  readonly status: number
  readonly code: string

  constructor (status: number, body: { code?: string, message?: string, param?: string | null }) {
    const code = body.code ?? `http_${status}`
    super(`${code}: ${body.message ?? 'the server gave no reason'}${typeof body.param === 'string' ? ` (${body.param})` : ''}`)
    this.status = status
    this.code = code
  }
}

export class UnreachableError extends Error { override readonly name = 'UnreachableError' }

export interface ServerEvent { readonly id: string, readonly event: string, readonly data: unknown }

/** How often a busy or restarting server is asked again before its refusal counts. */
const MAX_RETRIES = 20
const RECONNECT_MS = 500

export class ApiClient {
  readonly #url: string
  readonly #key: string

  constructor (url: string, key: string) {
    this.#url = url.replace(/\/+$/, '')
    this.#key = key
  }

  async get<T> (path: string): Promise<T> {
    return await this.#json<T>('GET', path)
  }

  async post<T> (path: string, body?: unknown): Promise<T> {
    return await this.#json<T>('POST', path, body === undefined ? {} : { body: JSON.stringify(body), type: 'application/json' })
  }

  async put<T> (path: string, body: unknown): Promise<T> {
    return await this.#json<T>('PUT', path, { body: JSON.stringify(body), type: 'application/json' })
  }

  async delete (path: string): Promise<void> {
    await (await this.#send('DELETE', path)).body?.cancel()
  }

  async upload<T> (path: string, bytes: Uint8Array, type: string): Promise<T> {
    return await this.#json<T>('POST', path, { body: bytes, type })
  }

  /** POST whose answer is a stream of events; ends with it. */
  async * postForEvents (path: string, body: unknown): AsyncGenerator<ServerEvent> {
    const response = await this.#send('POST', path, { body: JSON.stringify(body), type: 'application/json' })
    yield * eventsOf(response)
  }

  /** Events of a resumable stream until `isLast`; a lost connection is taken up behind the last event that came. */
  async * follow (path: string, isLast: (event: ServerEvent) => boolean): AsyncGenerator<ServerEvent> {
    let lastId = ''
    for (let fruitless = 0; fruitless < MAX_RETRIES; fruitless++) {
      try {
        const response = await this.#send('GET', path, { headers: lastId === '' ? {} : { 'last-event-id': lastId } })
        for await (const event of eventsOf(response)) {
          lastId = event.id
          fruitless = 0
          yield event
          if (isLast(event)) return
        }
      } catch (error) {
        if (error instanceof ApiError) throw error
      }
      await sleep(RECONNECT_MS)
    }
    throw new UnreachableError(`the event stream of ${this.#url} broke and does not come back`)
  }

  async #json<T> (method: string, path: string, options: RequestOptions = {}): Promise<T> {
    return await (await this.#send(method, path, options)).json() as T
  }

  async #send (method: string, path: string, options: RequestOptions = {}): Promise<Response> {
    for (let attempt = 0; ; attempt++) {
      const response = await this.#fetch(method, path, options)
      if (response.ok) return response
      const { error = {} } = await response.json().catch(() => ({})) as { error?: ConstructorParameters<typeof ApiError>[1] }
      const waits = response.status === 429 || response.status === 503
      if (!waits || attempt === MAX_RETRIES) throw new ApiError(response.status, error)
      await sleep(1000 * (Number(response.headers.get('retry-after')) || 1))
    }
  }

  async #fetch (method: string, path: string, { body, type, headers = {} }: RequestOptions): Promise<Response> {
    try {
      return await fetch(`${this.#url}${path}`, {
        method,
        headers: { authorization: `Bearer ${this.#key}`, ...type === undefined ? {} : { 'content-type': type }, ...headers },
        ...body === undefined ? {} : { body }
      })
    } catch (error) {
      throw new UnreachableError(`no Permafrost answers at ${this.#url} (start one with npm start, or set PERMAFROST_URL)`, { cause: error })
    }
  }
}

interface RequestOptions {
  readonly body?: string | Uint8Array
  readonly type?: string
  readonly headers?: Readonly<Record<string, string>>
}

/** Server-sent events (WHATWG HTML, section 9.2), as far as our server uses them: one `data` line an event. */
async function * eventsOf (response: Response): AsyncGenerator<ServerEvent> {
  if (response.body === null) return
  let pending = ''
  for await (const text of response.body.pipeThrough(new TextDecoderStream()) as unknown as AsyncIterable<string>) {
    const blocks = (pending + text).split('\n\n')
    pending = blocks.pop() ?? ''
    for (const block of blocks) {
      const field = (name: string): string | undefined => block.split('\n').find(line => line.startsWith(`${name}: `))?.slice(name.length + 2)
      const data = field('data')
      if (data !== undefined) yield { id: field('id') ?? '', event: field('event') ?? 'message', data: JSON.parse(data) as unknown }
    }
  }
}
