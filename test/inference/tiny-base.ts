/** Imported bases for tests: a seeded tiny Llama, or a model folder of the fixtures, in a temporary folder. */
import { mkdtemp, mkdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Base } from '../../src/model/base.js'
import { importBase } from '../../src/model/import.js'
import { type TinyLlamaOptions, writeTinyLlama } from '../support/tiny-llama.js'

export interface TestBase { readonly base: Base, dispose (): Promise<void> }

/** Head size 16 is served by the fused attention, any other by plain operators. */
export async function tinyBase (options: TinyLlamaOptions = {}): Promise<TestBase> {
  return await imported(async home => {
    const folder = join(home, 'source')
    await mkdir(folder)
    writeTinyLlama(folder, options)
    return folder
  })
}

export async function importedBase (source: string): Promise<TestBase> {
  return await imported(async () => source)
}

async function imported (source: (home: string) => Promise<string>): Promise<TestBase> {
  const home = await mkdtemp(join(tmpdir(), 'permafrost-base-'))
  const dispose = (): Promise<void> => rm(home, { recursive: true, force: true })
  try {
    return { base: await importBase(await source(home), home, () => {}), dispose }
  } catch (error) {
    await dispose()
    throw error
  }
}
