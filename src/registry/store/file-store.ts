import { randomBytes } from 'node:crypto'
import { access, constants, mkdir, open, readdir, readFile, rename, rm, stat } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { syncPath } from '../../sync.js'
import type { ObjectStore } from './object-store.js'
import { checkObjectKey } from './object-keys.js'

/** On the same file system as the values, so that a rename is atomic; no key can begin with it. */
const TEMPORARY = '.temporary'
/** A put that takes longer than this belongs to a dead process. */
const ABANDONED_MS = 24 * 60 * 60 * 1000

/** Objects as files below one folder. Several processes may share the folder. */
export class FileObjectStore implements ObjectStore {
  readonly #root: string

  private constructor (root: string) {
    this.#root = root
  }

  /** Make the folder when it is new and sweep what killed processes left half-written a day ago. @throws Error of the file system when nothing can be written there */
  static async open (root: string): Promise<FileObjectStore> {
    const temporary = join(root, TEMPORARY)
    await makeFolder(temporary)
    await access(temporary, constants.W_OK)
    for (const name of await readdir(temporary)) {
      const path = join(temporary, name)
      const written = await stat(path).then(found => found.mtimeMs, () => Infinity)
      if (written < Date.now() - ABANDONED_MS) await rm(path, { force: true })
    }
    return new FileObjectStore(root)
  }

  async put (key: string, bytes: Uint8Array): Promise<void> {
    const path = this.#path(key)
    const temporary = join(this.#root, TEMPORARY, randomBytes(12).toString('hex'))
    try {
      const file = await open(temporary, 'wx')
      try {
        await file.writeFile(bytes)
        await file.sync()
      } finally {
        await file.close()
      }
      await makeFolder(dirname(path))
      await rename(temporary, path)
    } catch (error) {
      await rm(temporary, { force: true })
      throw error
    }
    // Until the folder is synced, a power cut may forget the new name although the bytes are on disk.
    await syncPath(dirname(path))
  }

  async get (key: string): Promise<Uint8Array | null> {
    try {
      return await readFile(this.#path(key))
    } catch (error) {
      if (isAbsent(error)) return null
      throw error
    }
  }

  async has (key: string): Promise<boolean> {
    try {
      return (await stat(this.#path(key))).isFile()
    } catch (error) {
      if (isAbsent(error)) return false
      throw error
    }
  }

  async list (prefix: string): Promise<string[]> {
    const folder = prefix.slice(0, prefix.lastIndexOf('/') + 1)
    if (folder !== '') checkObjectKey(folder.slice(0, -1))
    const keys: string[] = []
    await this.#collect(folder, keys)
    return keys.filter(key => key.startsWith(prefix)).sort()
  }

  async delete (key: string): Promise<void> {
    const path = this.#path(key)
    try {
      await rm(path)
    } catch (error) {
      if (isAbsent(error)) return
      throw error
    }
    await syncPath(dirname(path))
  }

  async #collect (folder: string, keys: string[]): Promise<void> {
    const entries = await readdir(join(this.#root, folder), { withFileTypes: true }).catch((error: unknown) => {
      if (isAbsent(error)) return []
      throw error
    })
    for (const entry of entries) {
      if (folder === '' && entry.name === TEMPORARY) continue
      if (entry.isDirectory()) await this.#collect(`${folder}${entry.name}/`, keys)
      else if (entry.isFile()) keys.push(folder + entry.name)
    }
  }

  #path (key: string): string {
    checkObjectKey(key)
    if (key.startsWith(TEMPORARY)) throw new Error(`internal: object key ${JSON.stringify(key)} is reserved`)
    return join(this.#root, key)
  }
}

/** Like `mkdir -p`, and durable: each new name is synced into the folder that holds it. */
async function makeFolder (path: string): Promise<void> {
  const first = await mkdir(path, { recursive: true })
  if (first === undefined) return
  for (let folder = path; folder.length >= first.length; folder = dirname(folder)) await syncPath(dirname(folder))
}

/** EISDIR and ENOTDIR too: `a` is no value when `a/b` is one, and the other way round. */
function isAbsent (error: unknown): boolean {
  return error instanceof Error && 'code' in error && (error.code === 'ENOENT' || error.code === 'EISDIR' || error.code === 'ENOTDIR' || error.code === 'ERR_FS_EISDIR')
}
