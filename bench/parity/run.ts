/** Everything that the reference folders hold for one family, found by listing them. */
import { existsSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { filesIn, foldersIn, modelType, readJson } from './fixture-files.js'
import { ggufReferences } from './gguf.js'
import { Ledger } from './ledger.js'
import { modelFolder } from './model-folder.js'
import { trainedModel } from './trained-model.js'

export const FAMILIES = ['llama'] as const
export type Family = typeof FAMILIES[number]

export interface ReferenceFolders {
  /** `PERMAFROST_FIXTURES` */
  readonly fixtures: string
  /** Models with a `reference.json` of their own; null when there is no such folder. */
  readonly models: string | null
}

/** @param progress hears what is compared next */
export async function parity (family: Family, { fixtures, models }: ReferenceFolders, progress: (subject: string) => void): Promise<Ledger> {
  const ledger = new Ledger()
  const home = await mkdtemp(join(tmpdir(), 'permafrost-parity-'))
  try {
    for (const group of unknownFolders(fixtures)) ledger.subject(group).fail('folder', 'references of a kind that no check here reads')
    const own = modelNames(fixtures).filter(name => modelType(join(fixtures, name, 'model')) === family)
    for (const name of missingModels(fixtures, family, own)) ledger.subject(name).fail('model', 'manifest.json lists it, its folder is absent')
    if (own.length === 0) ledger.subject(family).fail('models', `no folder whose model/config.json says model_type ${family}`)
    for (const name of own) {
      progress(name)
      await modelFolder(ledger, name, join(fixtures, name), home)
    }
    progress('gguf')
    if (existsSync(join(fixtures, 'gguf'))) await ggufReferences(ledger, join(fixtures, 'gguf'), home)
    else ledger.subject('gguf').fail('folder', 'there is none among the references')
    const trained = models === null ? [] : foldersIn(models).filter(name => modelType(join(models, name)) === family && filesIn(join(models, name)).includes('reference.json'))
    if (trained.length === 0) ledger.subject('models').fail('reference.json', `no model of the family ${family} has one (PERMAFROST_SHARED)`)
    for (const name of trained) {
      progress(`models/${name}`)
      const checks = ledger.subject(`models/${name}`)
      await checks.attempt('model', async () => await trainedModel(checks, join(models!, name), home))
    }
    return ledger
  } finally {
    await rm(home, { recursive: true, force: true })
  }
}

/** Folders with a model, of any family. */
function modelNames (fixtures: string): string[] {
  const variants = foldersIn(join(fixtures, 'variants')).map(name => `variants/${name}`)
  return [...foldersIn(fixtures), ...variants].filter(name => modelType(join(fixtures, name, 'model')) !== null)
}

/** `malformed` is hostile input, not numbers: `npm test` reads it. */
function unknownFolders (fixtures: string): string[] {
  const models = modelNames(fixtures)
  return [...foldersIn(fixtures).filter(name => !['gguf', 'malformed', 'variants'].includes(name)), ...foldersIn(join(fixtures, 'variants')).map(name => `variants/${name}`)]
    .filter(name => !models.includes(name))
}

function missingModels (fixtures: string, family: Family, found: readonly string[]): string[] {
  if (!existsSync(join(fixtures, 'manifest.json'))) return []
  const { models = {} } = readJson<{ models?: Record<string, { family?: string }> }>(fixtures, 'manifest.json')
  return Object.entries(models).filter(([name, entry]) => entry.family === family && !found.includes(name)).map(([name]) => name)
}
