import { rename, writeFile } from 'node:fs/promises'
import { type Registry, SCOPES } from '../registry/registry.js'

export const DEFAULT_TENANT = 'default'

/** A registry without a key of the default tenant is one that has never been started. */
export async function isNewRegistry (registry: Pick<Registry, 'listKeys'>): Promise<boolean> {
  return (await registry.listKeys(DEFAULT_TENANT)).length === 0
}

/** A key with every scope, kept in `file` for the command line on this machine. */
export async function createFirstKey (registry: Pick<Registry, 'createKey'>, file: string): Promise<string> {
  const { secret } = await registry.createKey(DEFAULT_TENANT, 'first key', SCOPES)
  const draft = `${file}.${process.pid}`
  await writeFile(draft, `${secret}\n`, { mode: 0o600 })
  await rename(draft, file)
  return secret
}
