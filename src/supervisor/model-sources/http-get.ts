import { type IncomingMessage, get as getHttp } from 'node:http'
import { get as getHttps } from 'node:https'
import { SourceUnavailableError } from './known-file.js'
import { isHttpAddress } from './source-address.js'

const MAX_REDIRECTS = 5

export interface Timeouts {
  /** Milliseconds until the connection stands (name look-up and TLS included). */
  readonly connect: number
  /** Milliseconds without a byte. */
  readonly idle: number
}

export const TIMEOUTS: Timeouts = { connect: 4000, idle: 20_000 }

export interface HttpAnswer {
  readonly response: IncomingMessage
  /** Where the redirects led: what a relative address in the body belongs to. */
  readonly url: URL
}

/**
 * GET that follows redirects and gives up soon where nobody answers; `fetch` can not bound the connection alone. Tells
 * the response as soon as its headers are there; the body then errors after `idle` milliseconds of silence.
 * An `authorization` header goes to the origin it was meant for and not to where that redirects.
 * @throws SourceUnavailableError
 */
export async function httpGet (first: URL, headers: Readonly<Record<string, string>>, timeouts: Timeouts): Promise<HttpAnswer> {
  let url = first
  for (let redirects = 0; redirects <= MAX_REDIRECTS; redirects++) {
    const response = await once(url, url.origin === first.origin ? headers : withoutAuthorization(headers), timeouts)
    const status = response.statusCode ?? 0
    const location = response.headers.location
    if (status < 300 || status > 399 || location === undefined) return { response, url }
    response.destroy()
    if (!isHttpAddress(location, url.href)) throw new SourceUnavailableError(`${url.host} redirects to what is no http:// or https:// address`)
    url = new URL(location, url)
    if (first.protocol === 'https:' && url.protocol !== 'https:') throw new SourceUnavailableError(`${first.host} redirects from https to ${url.protocol}//`)
  }
  throw new SourceUnavailableError(`${first.host} redirects more than ${MAX_REDIRECTS} times`)
}

function once (url: URL, headers: Readonly<Record<string, string>>, timeouts: Timeouts): Promise<IncomingMessage> {
  const get = url.protocol === 'https:' ? getHttps : getHttp
  return new Promise((resolve, reject) => {
    const unavailable = (why: string): void => reject(new SourceUnavailableError(`${url.host}: ${why}`))
    const request = get(url, { headers: { 'user-agent': 'permafrost', 'accept-encoding': 'identity', ...headers }, agent: false })
    const connecting = setTimeout(() => request.destroy(new Error(`no connection within ${timeouts.connect / 1000} s`)), timeouts.connect)
    request.once('socket', socket => {
      socket.once(url.protocol === 'https:' ? 'secureConnect' : 'connect', () => clearTimeout(connecting))
      socket.setTimeout(timeouts.idle, () => request.destroy(new Error(`silent for ${timeouts.idle / 1000} s`)))
    })
    request.once('response', response => {
      clearTimeout(connecting)
      resolve(response)
    })
    request.once('error', error => {
      clearTimeout(connecting)
      unavailable(error.message || (error as NodeJS.ErrnoException).code || 'no answer')
    })
  })
}

function withoutAuthorization (headers: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(Object.entries(headers).filter(([name]) => name.toLowerCase() !== 'authorization'))
}
