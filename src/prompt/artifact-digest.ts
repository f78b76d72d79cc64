import { canonicalJson, type Digest, digestOf } from '../digest.js'
import type { ArtifactFiles } from './artifact.js'

/** One file of an artifact, as the artifact's digest sees it. */
export interface ArtifactEntry { readonly name: string, readonly bytes: number, readonly sha256: Digest }

/** Names, sizes and digests of the files, sorted by name in code unit order. */
export function artifactEntries (files: ArtifactFiles): ArtifactEntry[] {
  return [...files]
    .map(([name, bytes]) => ({ name, bytes: bytes.byteLength, sha256: digestOf(bytes) }))
    .sort((a, b) => a.name < b.name ? -1 : 1)
}

/** The name of an artifact: SHA-256 over the canonical JSON of its sorted entries, so neither time, path nor order of the files matters. */
export function artifactDigest (files: ArtifactFiles): Digest {
  return digestOf(canonicalJson(artifactEntries(files)))
}
