import { type Digest } from '../../digest.js'
import type { ArtifactFiles } from '../../prompt/artifact.js'

/** Artifacts by digest. `get` verifies: bytes that do not match their digest are never handed out. */
export interface ArtifactStore {
  /** Durable when it resolves; putting the same files twice is one artifact. */
  put (files: ArtifactFiles): Promise<Digest>
  /** @throws artifact_corrupt when bytes and digest differ; version_not_found when there is no such artifact; newer_schema */
  get (digest: Digest): Promise<ArtifactFiles>
  has (digest: Digest): Promise<boolean>
}
