import { randomBytes } from 'node:crypto'
import { mkdir, readdir, rename, rm, stat, symlink } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { syncPath } from '../sync.js'

const SUFFIX = '.unfinished'
// No import takes an hour: what is older was left by a process that was killed.
const ABANDONED_MS = 60 * 60 * 1000

/** An empty folder beside its later place, on the same file system; sweeps what killed processes left. */
export async function beginFolder (parent: string): Promise<string> {
  await mkdir(parent, { recursive: true })
  for (const name of await readdir(parent)) {
    if (!name.endsWith(SUFFIX)) continue
    const changed = await stat(join(parent, name)).then(found => found.mtimeMs, () => Infinity)
    if (changed < Date.now() - ABANDONED_MS) await rm(join(parent, name), { recursive: true, force: true })
  }
  const folder = join(parent, `.${randomBytes(8).toString('hex')}${SUFFIX}`)
  await mkdir(folder)
  return folder
}

/**
 * Gives a complete folder its name at one stroke, its bytes on disk before. When another process was first, its folder
 * stays and this one goes: equal names mean equal content. `isCurrent` says whether an existing one may stay.
 */
export async function finishFolder (folder: string, final: string, isCurrent: (existing: string) => Promise<boolean>): Promise<void> {
  for (const name of await readdir(folder)) await syncPath(join(folder, name))
  await syncPath(folder)
  try {
    await rename(folder, final)
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code !== 'ENOTEMPTY' && code !== 'EEXIST') throw error
    if (await isCurrent(final)) {
      await rm(folder, { recursive: true, force: true })
      return
    }
    const old = join(dirname(final), `.${randomBytes(8).toString('hex')}${SUFFIX}`)
    await rename(final, old)
    await rename(folder, final)
    await rm(old, { recursive: true, force: true })
  }
  // Until the parent is synced, a power cut may forget the new name although the bytes are on disk.
  await syncPath(dirname(final))
}

/** Makes `link` a symbolic link to `target` (as seen from its folder) at one stroke, whatever it was before, and durable. */
export async function pointTo (target: string, link: string): Promise<void> {
  const temporary = join(dirname(link), `.${randomBytes(8).toString('hex')}${SUFFIX}`)
  await symlink(target, temporary)
  await rename(temporary, link)
  await syncPath(dirname(link))
}
