/** The server a command speaks to: the one of PERMAFROST_URL, else the one that `start` runs on this machine. */
import { readFile } from 'node:fs/promises'
import { type Config, loadConfig } from '../config.js'
import { refuseNewerSchema } from '../schema.js'
import { type HomePaths, homePaths } from '../supervisor/home.js'
import { serviceUrl } from '../supervisor/service-url.js'
import { ApiClient, UnreachableError } from './api-client.js'

/** @throws UnreachableError when there is no API key; newer_schema */
export async function openClient (env: NodeJS.ProcessEnv = process.env): Promise<ApiClient> {
  const config = loadConfig(env)
  const paths = homePaths(config.PERMAFROST_HOME)
  const url = config.PERMAFROST_URL ?? (await startedService(paths))?.url ?? serviceUrl(config)
  const key = await knownApiKey(config)
  if (key === undefined) throw new UnreachableError(`no API key: set PERMAFROST_API_KEY, or start a service with this PERMAFROST_HOME (${paths.home})`)
  return new ApiClient(url, key)
}

interface StartedService { readonly schema?: unknown, readonly url: string, readonly redisUrl: string }

/** That of PERMAFROST_API_KEY, else the one that `start` keeps for this machine. */
export async function knownApiKey (config: Config): Promise<string | undefined> {
  return config.PERMAFROST_API_KEY ?? await readFile(homePaths(config.PERMAFROST_HOME).apiKey, 'utf8').then(text => text.trim(), () => undefined)
}

/** What `start` wrote down, while it runs. @throws newer_schema */
export async function startedService (paths: HomePaths): Promise<StartedService | null> {
  const started = await readFile(paths.service, 'utf8').then(text => JSON.parse(text) as StartedService | null).catch(() => null)
  refuseNewerSchema(paths.service, started?.schema)
  return started
}
