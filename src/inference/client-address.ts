/** Where inference processes listen and are found, from the settings. */
import { join } from 'node:path'
import { badConfig, type Config } from '../config.js'

/** Where an inference process listens, in the words of node:net and node:http. */
export type InferenceAddress = { readonly socketPath: string } | { readonly host: string, readonly port: number }

type ListenSettings = Pick<Config, 'INFERENCE_LISTEN' | 'INFERENCE_ADVERTISE' | 'INFERENCE_SECRET' | 'PERMAFROST_HOME'>

/** @throws ConfigError for a bad INFERENCE_LISTEN or INFERENCE_ADVERTISE, and for TCP without a secret: whoever reaches the port could use it */
export function listenAddress ({ INFERENCE_LISTEN: url, INFERENCE_ADVERTISE, INFERENCE_SECRET, PERMAFROST_HOME }: ListenSettings): InferenceAddress {
  if (INFERENCE_ADVERTISE !== undefined) addressOf('INFERENCE_ADVERTISE', INFERENCE_ADVERTISE)
  if (url === undefined) return { socketPath: join(PERMAFROST_HOME, 'run', 'inference.sock') }
  const address = addressOf('INFERENCE_LISTEN', url)
  if ('port' in address && INFERENCE_SECRET === undefined) throw badConfig('INFERENCE_SECRET: needed to listen on TCP')
  return address
}

const EVERY_ADDRESS: readonly string[] = ['0.0.0.0', '::']

/**
 * The url that leads to an inference process.
 * @param address where it listens
 * @param localAddress under which it reaches Redis, as the apis do: an address that they reach too; undefined: on this machine
 */
export function advertisedUrl ({ INFERENCE_ADVERTISE }: Pick<Config, 'INFERENCE_ADVERTISE'>, address: InferenceAddress, localAddress = '127.0.0.1'): string {
  if (INFERENCE_ADVERTISE !== undefined) return INFERENCE_ADVERTISE
  if ('socketPath' in address) return `unix:${address.socketPath}`
  const host = EVERY_ADDRESS.includes(address.host) ? localAddress : address.host
  return `http://${host.includes(':') ? `[${host}]` : host}:${address.port}`
}

/**
 * What INFERENCE_URL lists; null when it is absent and Redis knows the processes.
 * @throws ConfigError for a bad one, and for TCP without a secret
 */
export function replicaUrls ({ INFERENCE_URL, INFERENCE_SECRET }: Pick<Config, 'INFERENCE_URL' | 'INFERENCE_SECRET'>): string[] | null {
  if (INFERENCE_URL === undefined) return null
  const urls = INFERENCE_URL.split(',').map(url => url.trim())
  const addresses = urls.map(url => addressOf('INFERENCE_URL', url))
  if (INFERENCE_SECRET === undefined && addresses.some(address => 'port' in address)) throw badConfig('INFERENCE_SECRET: needed for http:// in INFERENCE_URL')
  return urls
}

/** @param setting where it comes from, for the error. @throws ConfigError for anything but `unix:/path` and `http://host:port` */
export function addressOf (setting: string, url: string): InferenceAddress {
  if (url.startsWith('unix:/')) return { socketPath: url.slice('unix:'.length) }
  const parsed = URL.canParse(url) ? new URL(url) : null
  if (parsed === null || parsed.protocol !== 'http:' || parsed.pathname !== '/' || parsed.port === '') {
    throw badConfig(`${setting}: ${url} is neither unix:/path/to.sock nor http://host:port`)
  }
  return { host: parsed.hostname.replace(/^\[(.*)\]$/, '$1'), port: Number(parsed.port) }
}
