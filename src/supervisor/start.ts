/** `permafrost start`: everything on this machine, from an empty disk to a service that answers, and back to nothing. */
import { mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { type Config, loadConfig } from '../config.js'
import type { ExampleTask } from '../first-start/example-prompts.js'
import { HOW_TO_MAKE_A_KEY, prepareRegistry } from '../first-start/prepare-registry.js'
import type { Base } from '../model/base.js'
import { VERSION } from '../project.js'
import { newSecret } from '../registry/api-keys.js'
import { RedisRegistry } from '../registry/redis-registry.js'
import { openStores } from '../registry/store/open-stores.js'
import { SCHEMA } from '../schema.js'
import { baseSource } from './base-model.js'
import { commandsToPaste } from './commands-to-paste.js'
import { lockHome } from './home-lock.js'
import { type HomePaths, homePaths } from './home.js'
import { importInOwnProcess } from './import-base.js'
import { endLeftovers } from './leftovers.js'
import { findOrInstallRedis } from './redis-program.js'
import { startRedis } from './redis.js'
import { ServiceProcesses } from './service-processes.js'
import { serviceUrl } from './service-url.js'

type Say = (line: string) => void

/** Told to stop while starting: what was started is stopped again. */
export class InterruptedError extends Error { override readonly name = 'InterruptedError' }

/**
 * Runs until SIGTERM or SIGINT.
 * @throws Error whose message says what to do
 */
export async function start (settings: Config, say: Say): Promise<void> {
  const begun = performance.now()
  const stopped = stopSignal()
  const interrupted = stopped.then(signal => { throw new InterruptedError(`${signal} before the service was ready`) })
  interrupted.catch(() => {})
  const paths = homePaths(settings.PERMAFROST_HOME)
  mkdirSync(paths.home, { recursive: true, mode: 0o700 })
  // Undone in reverse order, whatever happens in between.
  const cleanups: Array<() => void | Promise<void>> = []
  try {
    cleanups.push(lockHome(paths.lock))
    say(`Permafrost ${VERSION}, data in ${paths.home}`)
    await endLeftovers(paths.children, say)
    const port = await usablePort(settings)

    const redis = await phase('redis', interrupted, say, async () =>
      await startRedis(settings.REDIS_URL, () => findOrInstallRedis(say), paths, say))
    cleanups.push(async () => await redis.stop())

    const base = await phase('base model', interrupted, say, async () => await provideBase(settings, paths, say))
    for (const warning of base.manifest.warnings) say(`base model: ${warning}`)

    const env = { ...process.env, ...decided(settings, paths, { port, redisUrl: redis.url, baseFolder: base.folder }) }
    const config = loadConfig(env)
    const tenant = await prepareTenant(config, redis.url, base, paths)
    const processes = new ServiceProcesses({ config, env, logs: paths.logs, children: paths.children }, say)
    cleanups.push(async () => await processes.stop())
    await phase(`inference, api and ${config.WORKERS} worker${config.WORKERS === 1 ? '' : 's'}`, interrupted, say, async () => await processes.start())

    const url = serviceUrl(config)
    writeFileSync(paths.service, JSON.stringify({ schema: SCHEMA, url, redisUrl: redis.url, pid: process.pid }), { mode: 0o600 })
    cleanups.push(() => rmSync(paths.service, { force: true }))
    welcome(url, tenant, base, paths, begun, say)

    say(`\nstopping (${await stopped})`)
  } finally {
    for (const cleanup of cleanups.reverse()) await cleanup()
  }
  say('stopped')
}

async function phase<T> (name: string, interrupted: Promise<never>, say: Say, work: () => Promise<T>): Promise<T> {
  const begun = performance.now()
  const result = await Promise.race([interrupted, work()])
  say(`${name}: ${seconds(begun)} s`)
  return result
}

async function provideBase (config: Config, paths: HomePaths, say: Say): Promise<Base> {
  return await importInOwnProcess(await baseSource(config, say), { ...process.env, PERMAFROST_HOME: paths.home })
}

/** What the children are told beside the caller's own environment. */
function decided (settings: Config, paths: HomePaths, { port, redisUrl, baseFolder }: { port: number, redisUrl: string, baseFolder: string }): Record<string, string> {
  const listen = settings.INFERENCE_LISTEN ?? `unix:${join(paths.sockets, 'inference.sock')}`
  return {
    PERMAFROST_HOME: paths.home,
    PORT: String(port),
    REDIS_URL: redisUrl,
    BASE_FOLDER: baseFolder,
    // One port for several processes of one machine would be taken; with 0 each takes a free one, and its log says which.
    HEALTH_PORT: settings.HEALTH_PORT === 0 ? '0' : '',
    INFERENCE_LISTEN: listen,
    INFERENCE_URL: settings.INFERENCE_URL ?? listen
  }
}

interface PreparedTenant {
  readonly examples: readonly ExampleTask[]
  readonly hasKeys: boolean
  /** Made now, and known to nobody yet. */
  readonly secretToShow: string | null
}

/** A first key is kept for the command line on this machine. */
async function prepareTenant (config: Config, redisUrl: string, base: Base, paths: HomePaths): Promise<PreparedTenant> {
  const { objects, artifacts } = await openStores(config)
  const registry = await RedisRegistry.connect({ url: redisUrl, objects, whenDown: 'fail' })
  const secret = config.FIRST_API_KEY ?? newSecret()
  try {
    const { firstKey, hasKeys, examples } = await prepareRegistry({ registry, artifacts, base: base.manifest, firstKey: secret })
    if (firstKey !== null) writeWhole(paths.apiKey, `${secret}\n`)
    return { examples, hasKeys, secretToShow: firstKey === null || config.FIRST_API_KEY !== undefined ? null : secret }
  } finally {
    await registry.close()
  }
}

function writeWhole (file: string, text: string): void {
  const draft = `${file}.${process.pid}`
  writeFileSync(draft, text, { mode: 0o600 })
  renameSync(draft, file)
}

function welcome (url: string, { secretToShow, hasKeys, examples }: PreparedTenant, base: Base, paths: HomePaths, begun: number, say: Say): void {
  say(`ready in ${seconds(begun)} s: ${base.manifest.name} at ${url}`)
  if (secretToShow !== null) say(`\nAPI key, shown this once (the command line on this machine finds it in ${paths.apiKey}):\n  ${secretToShow}`)
  if (!hasKeys) say(HOW_TO_MAKE_A_KEY)
  say('\nTry, in another terminal:')
  for (const command of commandsToPaste(url, paths.apiKey, base.manifest, examples)) say(`  ${command}`)
}

/**
 * PORT, or a free one for 0: chosen here so that a restarted api listens where the last one did.
 * @throws Error when something else listens there
 */
async function usablePort ({ HOST, PORT }: Config): Promise<number> {
  const probe = createServer()
  try {
    await new Promise<void>((resolve, reject) => {
      probe.once('error', reject)
      probe.listen(PORT, HOST, resolve)
    })
    const address = probe.address()
    return address !== null && typeof address === 'object' ? address.port : PORT
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException
    const why = code === 'EADDRINUSE' ? `port ${PORT} on ${HOST} is in use; set PORT to another one, or to 0 for a free one` : `can not listen on ${HOST} port ${PORT}: ${message}`
    throw new Error(why, { cause: error })
  } finally {
    await new Promise<void>(resolve => probe.close(() => resolve()))
  }
}

/** The first signal; later ones change nothing, because a terminal's ^C comes twice when npm passes it on. */
function stopSignal (): Promise<string> {
  return new Promise(resolve => {
    for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) process.on(signal, () => resolve(signal))
  })
}

function seconds (since: number): string {
  return ((performance.now() - since) / 1000).toFixed(1)
}
