import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { rename, rm } from 'node:fs/promises'
import { dirname } from 'node:path'
import type { Digest } from '../../digest.js'
import { syncPath } from '../../sync.js'

/** The bytes are not the ones that were asked for: never used, and no other source is tried behind the operator's back. */
export class WrongChecksumError extends Error {
  override readonly name = 'WrongChecksumError'

  constructor (file: string, expected: Digest, found: Digest, hint: string) {
    super(`${file} has checksum ${found}, expected ${expected}; ${hint}`)
  }
}

export async function digestOfFile (file: string): Promise<Digest> {
  const hash = createHash('sha256')
  for await (const chunk of createReadStream(file, { highWaterMark: 1 << 20 })) hash.update(chunk as Buffer)
  return `sha256:${hash.digest('hex')}`
}

/**
 * @param source names who sent it
 * @throws WrongChecksumError, the bytes removed
 */
export async function checkDigest (part: string, expected: Digest, source: string): Promise<void> {
  const found = await digestOfFile(part)
  if (found === expected) return
  await rm(part, { force: true })
  throw new WrongChecksumError(`what ${source} sent`, expected, found, 'nothing was kept')
}

/**
 * Give a complete download its final name, durably: whoever sees the name sees all of the right bytes.
 * @throws WrongChecksumError, the bytes removed
 */
export async function placeVerified (part: string, target: string, expected: Digest, source: string): Promise<void> {
  await checkDigest(part, expected, source)
  await syncPath(part)
  await rename(part, target)
  await syncPath(dirname(target))
}
