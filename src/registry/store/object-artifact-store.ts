import { type Static, Type } from '@sinclair/typebox'
import { Value } from '@sinclair/typebox/value'
import { canonicalJson, type Digest, digestOf } from '../../digest.js'
import { ServiceError } from '../../errors.js'
import type { ArtifactFiles } from '../../prompt/artifact.js'
import { artifactDigest, artifactEntries } from '../../prompt/artifact-digest.js'
import { isOfNewerSchema, refuseNewerSchema, SCHEMA } from '../../schema.js'
import type { ArtifactStore } from './artifact-store.js'
import { artifactFileKey, artifactListKey } from './object-keys.js'
import type { ObjectStore } from './object-store.js'

const FileListSchema = Type.Object({
  schema: Type.Literal(SCHEMA),
  files: Type.Array(Type.Object({ name: Type.String(), bytes: Type.Integer({ minimum: 0 }), sha256: Type.String() }))
})

/** Artifacts in an object store: the files first, the list of them last. */
export class ObjectArtifactStore implements ArtifactStore {
  readonly #objects: ObjectStore

  constructor (objects: ObjectStore) {
    this.#objects = objects
  }

  async put (files: ArtifactFiles): Promise<Digest> {
    const digest = artifactDigest(files)
    if (await this.#isIntact(digest)) return digest
    for (const [name, bytes] of files) await this.#objects.put(artifactFileKey(digest, name), bytes)
    const list: Static<typeof FileListSchema> = { schema: SCHEMA, files: artifactEntries(files) }
    await this.#objects.put(artifactListKey(digest), Buffer.from(canonicalJson(list)))
    return digest
  }

  async get (digest: Digest): Promise<ArtifactFiles> {
    const listBytes = await this.#objects.get(artifactListKey(digest))
    if (listBytes === null) throw new ServiceError('version_not_found', `there is no artifact ${digest}`)
    const files = new Map<string, Uint8Array>()
    for (const { name } of parseList(listBytes, digest)) {
      const bytes = await this.#objects.get(artifactFileKey(digest, name))
      if (bytes === null) throw corrupt(digest, `file ${name} is missing`)
      files.set(name, bytes)
    }
    // The list itself is not trusted either: the name of the artifact is computed again from the bytes.
    const found = artifactDigest(files)
    if (found !== digest) throw corrupt(digest, `its bytes have digest ${found}`)
    return files
  }

  async has (digest: Digest): Promise<boolean> {
    return await this.#objects.has(artifactListKey(digest))
  }

  /** A damaged artifact is written again when someone brings the right bytes. */
  async #isIntact (digest: Digest): Promise<boolean> {
    try {
      await this.get(digest)
      return true
    } catch (error) {
      if (error instanceof ServiceError && !isOfNewerSchema(error)) return false
      throw error
    }
  }
}

function parseList (bytes: Uint8Array, digest: Digest): Static<typeof FileListSchema>['files'] {
  let list: unknown
  try {
    list = JSON.parse(Buffer.from(bytes).toString('utf8'))
  } catch (cause) {
    throw corrupt(digest, 'its list of files is not JSON', cause)
  }
  refuseNewerSchema(`the list of files of artifact ${digest}`, (list as { schema?: unknown } | null)?.schema)
  if (!Value.Check(FileListSchema, list)) throw corrupt(digest, 'its list of files does not follow schema 1')
  if (digestOf(canonicalJson(list.files)) !== digest) throw corrupt(digest, 'its list of files names another artifact')
  return list.files
}

function corrupt (digest: Digest, reason: string, cause?: unknown): ServiceError {
  return new ServiceError('artifact_corrupt', `artifact ${digest} is damaged: ${reason}`, cause === undefined ? {} : { cause })
}
