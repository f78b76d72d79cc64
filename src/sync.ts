import { open } from 'node:fs/promises'

/**
 * fsync of a file or folder. Until the folder that holds it is synced, a power cut may forget a new name although the
 * bytes are on disk.
 */
export async function syncPath (path: string): Promise<void> {
  const handle = await open(path, 'r')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}
