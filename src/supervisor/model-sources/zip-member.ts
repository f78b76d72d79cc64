/** One member of a zip, whose size is known before it is read. */
import { createWriteStream } from 'node:fs'
import type { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { type Entry, open as openZip, type ZipFile } from 'yauzl'
import { type KnownFile, SourceUnavailableError } from './known-file.js'

/**
 * Write the member with the file's name, in whatever folder of the zip, to `part`.
 * @param shown names the zip in errors
 * @throws SourceUnavailableError
 */
export async function unpackMember (path: string, file: KnownFile, part: string, shown: string): Promise<void> {
  try {
    const zip = await opened(path)
    try {
      const entry = await findEntry(zip, file.name)
      if (entry === null) throw new Error(`it holds no ${file.name}`)
      // Checked before a byte is written: a zip may claim any size.
      if (entry.uncompressedSize !== file.bytes) throw new Error(`its ${file.name} has ${entry.uncompressedSize} bytes, expected ${file.bytes}`)
      await pipeline(await openMember(zip, entry), createWriteStream(part))
    } finally {
      zip.close()
    }
  } catch (error) {
    throw new SourceUnavailableError(`${shown} can not be used: ${(error as Error).message}`)
  }
}

function opened (path: string): Promise<ZipFile> {
  return new Promise((resolve, reject) => {
    openZip(path, { lazyEntries: true, autoClose: false }, (error, zip) => {
      if (error !== null) reject(error)
      else resolve(zip)
    })
  })
}

function findEntry (zip: ZipFile, name: string): Promise<Entry | null> {
  return new Promise((resolve, reject) => {
    zip.on('error', reject)
    zip.on('end', () => resolve(null))
    zip.on('entry', (entry: Entry) => {
      if (entry.fileName.split('/').at(-1) === name) resolve(entry)
      else zip.readEntry()
    })
    zip.readEntry()
  })
}

function openMember (zip: ZipFile, entry: Entry): Promise<Readable> {
  return new Promise((resolve, reject) => {
    zip.openReadStream(entry, (error, stream) => {
      if (error !== null) reject(error)
      else resolve(stream)
    })
  })
}
