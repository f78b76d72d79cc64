/** `gguf/`: number formats, whole models, and hostile files. */
import { join } from 'node:path'
import { MalformedModelError } from '../../src/errors.js'
import { openGgufLlama } from '../../src/model/gguf-llama.js'
import { llamaTensors } from '../../src/model/llama-tensors.js'
import { tokenizerFromGguf } from '../../src/model/tokenizer-gguf.js'
import { filesIn, foldersIn, readJson } from './fixture-files.js'
import { ggufModel } from './gguf-models.js'
import { ggufTypes } from './gguf-types.js'
import type { Checks, Ledger } from './ledger.js'

const FORMATS = ['types.gguf', 'types.json', 'types.safetensors']
const EXPECTATIONS = ['accept', 'warn', 'reject', 'either']

/** @param folder `gguf` among the fixtures @param home takes the imported bases */
export async function ggufReferences (ledger: Ledger, folder: string, home: string): Promise<void> {
  const files = filesIn(folder)
  const whole = ledger.subject('gguf')
  for (const name of files.filter(name => ![...FORMATS, 'manifest.json'].includes(name))) whole.fail(name, 'a reference of a kind that no check here reads')
  const types = ledger.subject('gguf/types')
  await types.attempt('number formats', async () => await ggufTypes(types, folder))
  for (const group of foldersIn(folder)) {
    if (group === 'hostile') {
      const hostile = ledger.subject('gguf/hostile')
      await hostile.attempt('hostile files', () => hostileFiles(hostile, join(folder, group)))
    } else await ggufModels(ledger, folder, group, home)
  }
}

async function ggufModels (ledger: Ledger, folder: string, group: string, home: string): Promise<void> {
  const stems = new Set(filesIn(join(folder, group)).map(name => name.replace(/\.[^.]+$/, '')).filter(stem => stem !== 'manifest'))
  for (const stem of [...stems].sort()) {
    const checks = ledger.subject(`gguf/${group}/${stem}`)
    await checks.attempt('model', async () => await ggufModel(checks, join(folder, group), stem, home))
  }
}

/** Each ends as its `expect` says; what it costs and what it says is `npm test`'s to compare. */
function hostileFiles (checks: Checks, folder: string): void {
  const { entries } = readJson<{ entries: ReadonlyArray<{ path: string, expect: string }> }>(folder, 'manifest.json')
  for (const { path, expect } of entries) {
    if (!EXPECTATIONS.includes(expect)) checks.fail(`expectation ${expect}`, 'no check here knows it')
    else checks.equal('each ends as expected', `${path}: ${expect}`, expect === 'either' ? outcome(join(folder, path)) !== null : outcome(join(folder, path)) === expect)
  }
}

/** @returns null when reading crashed instead of refusing */
function outcome (path: string): string | null {
  try {
    const source = openGgufLlama(path)
    try {
      const { warnings } = tokenizerFromGguf(source.gguf.metadata)
      for (const { name } of llamaTensors(source.config)) source.read(name)
      return source.warnings.length + warnings.length > 0 ? 'warn' : 'accept'
    } finally {
      source.close()
    }
  } catch (error) {
    return error instanceof MalformedModelError ? 'reject' : null
  }
}
