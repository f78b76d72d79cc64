import type { Config } from '../config.js'

/** Where a client on this machine finds the api, or whatever else listens on HOST. */
export function serviceUrl ({ HOST, PORT }: Pick<Config, 'HOST' | 'PORT'>): string {
  const host = HOST === '0.0.0.0' ? '127.0.0.1' : HOST === '::' ? '::1' : HOST
  return `http://${host.includes(':') ? `[${host}]` : host}:${PORT}`
}
