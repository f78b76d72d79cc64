import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { badConfig, type Config } from '../../config.js'
import { NotYetError } from '../../errors.js'
import type { ArtifactStore } from './artifact-store.js'
import { FileObjectStore } from './file-store.js'
import { ObjectArtifactStore } from './object-artifact-store.js'
import type { ObjectStore } from './object-store.js'

type Settings = Pick<Config, 'ARTIFACT_STORE' | 'PERMAFROST_HOME'>

export interface Stores { readonly objects: ObjectStore, readonly artifacts: ArtifactStore }

/**
 * The stores that `ARTIFACT_STORE` names, `PERMAFROST_HOME`/store when it is absent.
 * @throws ConfigError for anything but `file:` and an absolute path, and for a folder that cannot be written; NotYetError
 * while its disk is full or away
 */
export async function openStores (settings: Settings): Promise<Stores> {
  const folder = folderOf(settings)
  const objects = await FileObjectStore.open(folder).catch((error: NodeJS.ErrnoException) => {
    if (error.code === undefined) throw error
    if (REFUSED.has(error.code)) throw badConfig(`ARTIFACT_STORE: ${folder} can not be written: ${error.message}`)
    throw new NotYetError(`${folder} can not be written`, { cause: error })
  })
  return { objects, artifacts: new ObjectArtifactStore(objects) }
}

/** For log and `/readyz`, until they are open. @throws ConfigError as `openStores` */
export function storePlace (settings: Settings): string {
  return `the artifact store in ${folderOf(settings)}`
}

/** What no waiting changes: somebody else's folder, a read-only file system, a file where a folder should be. */
const REFUSED = new Set(['EACCES', 'EPERM', 'EROFS', 'ENOTDIR', 'EEXIST'])

function folderOf ({ ARTIFACT_STORE, PERMAFROST_HOME }: Settings): string {
  if (ARTIFACT_STORE === undefined) return join(PERMAFROST_HOME, 'store')
  // `file:folder` would silently mean `/folder`: a URL has no relative paths.
  if (!ARTIFACT_STORE.startsWith('file:/')) throw badConfig(`ARTIFACT_STORE: ${ARTIFACT_STORE} is not file: and an absolute path`)
  try {
    return fileURLToPath(ARTIFACT_STORE)
  } catch (cause) {
    throw badConfig(`ARTIFACT_STORE: ${ARTIFACT_STORE} is not a local folder: ${(cause as Error).message}`)
  }
}
