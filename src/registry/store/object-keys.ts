/** Where things lie in the object store: every key that the service writes is built here. */
import { type Digest, hexOf } from '../../digest.js'

const SEGMENT = /^[A-Za-z0-9._:-]+$/
// File systems take 255 bytes for a name; no key of ours comes near.
const MAX_SEGMENT = 255

/** @throws Error for a key with an empty, `.`, `..` or otherwise foreign segment: no key can leave the store's folder. */
export function checkObjectKey (key: string): void {
  const sound = key.split('/').every(segment => SEGMENT.test(segment) && segment !== '.' && segment !== '..' && segment.length <= MAX_SEGMENT)
  if (!sound) throw new Error(`internal: ${JSON.stringify(key)} is no object key`)
}

/** One file of an artifact. The folder as a whole is what PEFT reads. */
export function artifactFileKey (digest: Digest, name: string): string {
  return `artifacts/${hexOf(digest)}/${name}`
}

/** Names, sizes and digests of an artifact's files; written last, so its presence says that the artifact is complete. */
export function artifactListKey (digest: Digest): string {
  return `artifacts/${hexOf(digest)}.json`
}

/** An uploaded file, byte for byte. */
export function uploadKey (tenant: string, file: string): string {
  return `files/${tenant}/${file}.jsonl`
}

/** Everything below belongs to one job's checkpoints and is deleted with them. */
export function checkpointPrefix (tenant: string, job: string): string {
  return `checkpoints/${tenant}/${job}/`
}

export function versionPrefix (tenant: string, task: string): string {
  return `versions/${tenant}/${task}/`
}

/** The record of a publication, from which the index in Redis can be made again. */
export function versionKey (tenant: string, task: string, number: number): string {
  return `${versionPrefix(tenant, task)}${number}.json`
}
