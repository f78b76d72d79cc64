/** A private service for one benchmark, in a home of its own that has only the imported bases in common with PERMAFROST_HOME. */
import { mkdir, mkdtemp, readFile, rm, symlink } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { ApiClient } from '../src/cli/api-client.js'
import { loadConfig } from '../src/config.js'
import { basesFolder } from '../src/model/current-base.js'
import { homePaths } from '../src/supervisor/home.js'
import { startService } from '../test/support/service.js'

export interface BenchService {
  readonly client: ApiClient
  readonly url: string
  readonly key: string
  readonly home: string
  stop (): Promise<void>
}

/**
 * `permafrost start` with a model file or folder as its base; resolves when it answers.
 * @throws Error with what the service printed when it ends before that
 */
export async function startBenchService (source: string, env: Readonly<Record<string, string>> = {}): Promise<BenchService> {
  const home = await mkdtemp(join(tmpdir(), 'permafrost-bench-'))
  const remove = async (): Promise<void> => await rm(home, { recursive: true, force: true })
  try {
    const bases = resolve(basesFolder(loadConfig(process.env).PERMAFROST_HOME))
    await mkdir(bases, { recursive: true, mode: 0o700 })
    await symlink(bases, basesFolder(home))
    const service = await startService(home, { PERMAFROST_BASE: source, ...env })
    const key = (await readFile(homePaths(home).apiKey, 'utf8')).trim()
    const stop = async (): Promise<void> => {
      await service.stop()
      await remove()
    }
    return { client: new ApiClient(service.url, key), url: service.url, key, home, stop }
  } catch (error) {
    await remove()
    throw error
  }
}
