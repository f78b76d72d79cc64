import { join } from 'node:path'
import { badConfig, type Config } from '../config.js'

/** Where the inference process listens, in the words of node:net and node:http. */
export type InferenceAddress = { readonly socketPath: string } | { readonly host: string, readonly port: number }

/** @throws ConfigError for anything but `unix:/path` and `http://host:port` */
export function inferenceAddress (config: Pick<Config, 'INFERENCE_URL' | 'PERMAFROST_HOME'>): InferenceAddress {
  const url = config.INFERENCE_URL
  if (url === undefined) return { socketPath: join(config.PERMAFROST_HOME, 'run', 'inference.sock') }
  if (url.startsWith('unix:/')) return { socketPath: url.slice('unix:'.length) }
  const parsed = URL.canParse(url) ? new URL(url) : null
  if (parsed === null || parsed.protocol !== 'http:' || parsed.pathname !== '/' || parsed.port === '') {
    throw badConfig(`INFERENCE_URL: ${url} is neither unix:/path/to.sock nor http://host:port`)
  }
  return { host: parsed.hostname, port: Number(parsed.port) }
}
