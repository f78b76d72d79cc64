import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { badConfig, type Config } from '../../config.js'
import type { ArtifactStore } from './artifact-store.js'
import { FileObjectStore } from './file-store.js'
import { ObjectArtifactStore } from './object-artifact-store.js'
import type { ObjectStore } from './object-store.js'

export interface Stores { readonly objects: ObjectStore, readonly artifacts: ArtifactStore }

/**
 * The stores that `ARTIFACT_STORE` names, `PERMAFROST_HOME`/store when it is absent.
 * @throws ConfigError for anything but `file:` and an absolute path
 */
export async function openStores (config: Pick<Config, 'ARTIFACT_STORE' | 'PERMAFROST_HOME'>): Promise<Stores> {
  const objects = await FileObjectStore.open(folderOf(config))
  return { objects, artifacts: new ObjectArtifactStore(objects) }
}

function folderOf (config: Pick<Config, 'ARTIFACT_STORE' | 'PERMAFROST_HOME'>): string {
  if (config.ARTIFACT_STORE === undefined) return join(config.PERMAFROST_HOME, 'store')
  // `file:folder` would silently mean `/folder`: a URL has no relative paths.
  if (!config.ARTIFACT_STORE.startsWith('file:/')) throw badConfig(`ARTIFACT_STORE: ${config.ARTIFACT_STORE} is not file: and an absolute path`)
  try {
    return fileURLToPath(config.ARTIFACT_STORE)
  } catch (cause) {
    throw badConfig(`ARTIFACT_STORE: ${config.ARTIFACT_STORE} is not a local folder: ${(cause as Error).message}`)
  }
}
