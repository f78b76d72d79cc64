/**
 * A private service for one benchmark: the real processes, started and stopped by pid, in a home of its own that has
 * only the imported bases in common with PERMAFROST_HOME.
 */
import { spawn } from 'node:child_process'
import { mkdir, mkdtemp, readFile, rm, symlink } from 'node:fs/promises'
import { once } from 'node:events'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { createInterface } from 'node:readline'
import { ApiClient } from '../src/cli/api-client.js'
import { startedService } from '../src/cli/running-service.js'
import { loadConfig } from '../src/config.js'
import { basesFolder } from '../src/model/import.js'
import { homePaths } from '../src/supervisor/home.js'

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
  const bases = resolve(basesFolder(loadConfig(process.env).PERMAFROST_HOME))
  await mkdir(bases, { recursive: true, mode: 0o700 })
  await symlink(bases, basesFolder(home))
  const { REDIS_URL: _ownRedis, ARTIFACT_STORE: _ownStore, ...inherited } = process.env
  const child = spawn(process.execPath, [join(import.meta.dirname, '../src/cli/main.js'), 'start'], {
    env: { ...inherited, PERMAFROST_HOME: home, PERMAFROST_BASE: source, PORT: '0', ...env },
    stdio: ['ignore', 'pipe', 'pipe']
  })
  const ended = once(child, 'exit')
  const stop = async (): Promise<void> => {
    if (child.exitCode === null && child.signalCode === null) child.kill('SIGTERM')
    await ended
    await rm(home, { recursive: true, force: true })
  }
  const printed: string[] = []
  child.stderr.on('data', (chunk: Buffer) => { printed.push(chunk.toString()) })
  const ready = (async () => {
    for await (const line of createInterface({ input: child.stdout })) {
      printed.push(`${line}\n`)
      if (line.startsWith('ready in ')) return
    }
    throw new Error(`the service ended before it was ready\n${printed.join('')}`)
  })()
  try {
    await ready
    // Nobody reads its output from here on; an unread pipe would fill up and stop it.
    child.stdout.resume()
    const service = await startedService(homePaths(home))
    if (service === null) throw new Error('internal: a ready service without an address')
    const key = (await readFile(homePaths(home).apiKey, 'utf8')).trim()
    return { client: new ApiClient(service.url, key), url: service.url, key, home, stop }
  } catch (error) {
    await stop()
    throw error
  }
}
