/**
 * Which base folder a model file was imported to, so that a second start neither reads nor hashes it. A file is known by
 * path, size and time of change; the same bytes under another path by their digest.
 */
import { randomBytes } from 'node:crypto'
import { readFile, rename, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Digest } from '../digest.js'
import { refuseNewerSchema, SCHEMA } from '../schema.js'

export interface FileStamp { readonly path: string, readonly bytes: number, readonly mtimeMs: number }
export interface ImportedSource {
  /** The model file, or every file of a folder that counts. */
  readonly files: readonly FileStamp[]
  /** Of their bytes. */
  readonly source: Digest
  readonly base: Digest
}

/** Raised when an import makes other folders from the same bytes: what older versions made is then imported anew. */
const IMPORTER = 2
const FILE = 'index.json'

export async function stampsOf (paths: readonly string[]): Promise<readonly FileStamp[]> {
  return Promise.all(paths.map(async path => {
    const { size, mtimeMs } = await stat(path)
    return { path, bytes: size, mtimeMs }
  }))
}

/** As in the file; older ones say no schema. */
interface BaseIndex { readonly schema?: unknown, readonly importer?: unknown, readonly sources?: unknown }

/**
 * Entries of `home/bases/index.json`; none when it is absent, damaged or of another importer: importing makes it again.
 * @throws newer_schema
 */
export async function readBaseIndex (folder: string): Promise<readonly ImportedSource[]> {
  const path = join(folder, FILE)
  const { schema, importer, sources } = await readFile(path, 'utf8').then(text => (JSON.parse(text) ?? {}) as BaseIndex).catch((): BaseIndex => ({}))
  refuseNewerSchema(path, schema)
  return importer === IMPORTER && Array.isArray(sources) ? sources as ImportedSource[] : []
}

export function sameFiles (a: readonly FileStamp[], b: readonly FileStamp[]): boolean {
  return a.length === b.length && a.every((stamp, i) => stamp.path === b[i]!.path && stamp.bytes === b[i]!.bytes && stamp.mtimeMs === b[i]!.mtimeMs)
}

/** Adds an entry in place of an older one for the same paths. */
export async function rememberSource (folder: string, entry: ImportedSource): Promise<void> {
  const paths = ({ files }: ImportedSource): string => files.map(({ path }) => path).join('\n')
  const sources = [...(await readBaseIndex(folder)).filter(other => paths(other) !== paths(entry)), entry]
  const temporary = join(folder, `.${randomBytes(8).toString('hex')}.index`)
  await writeFile(temporary, JSON.stringify({ schema: SCHEMA, importer: IMPORTER, sources } satisfies BaseIndex, null, 1))
  await rename(temporary, join(folder, FILE))
}
