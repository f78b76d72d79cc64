/** The server a command speaks to: the one of PERMAFROST_URL, else the one that `start` runs on this machine. */
import { readFile } from 'node:fs/promises'
import { loadConfig } from '../config.js'
import { type HomePaths, homePaths } from '../supervisor/home.js'
import { serviceUrl } from '../supervisor/service-url.js'
import { ApiClient, UnreachableError } from './api-client.js'

/** @throws UnreachableError when there is no API key */
export async function openClient (env: NodeJS.ProcessEnv = process.env): Promise<ApiClient> {
  const config = loadConfig(env)
  const paths = homePaths(config.PERMAFROST_HOME)
  const url = config.PERMAFROST_URL ?? (await startedService(paths))?.url ?? serviceUrl(config)
  const key = config.PERMAFROST_API_KEY ?? await readFile(paths.apiKey, 'utf8').then(text => text.trim(), () => undefined)
  if (key === undefined) throw new UnreachableError(`no API key: set PERMAFROST_API_KEY, or start a service with this PERMAFROST_HOME (${paths.home})`)
  return new ApiClient(url, key)
}

/** What `start` wrote down, while it runs. */
export async function startedService (paths: HomePaths): Promise<{ readonly url: string, readonly redisUrl: string } | null> {
  try {
    return JSON.parse(await readFile(paths.service, 'utf8')) as { url: string, redisUrl: string }
  } catch {
    return null
  }
}
