/** What a registry holds before anybody asks it for something: the example prompts, and a key to ask with. */
import { join } from 'node:path'
import type { BaseManifest } from '../model/base.js'
import { PROJECT_ROOT } from '../project.js'
import { DEFAULT_TENANT } from '../registry/names.js'
import { type KeyRecord, type Registry, SCOPES } from '../registry/registry.js'
import { type Artifacts, type ExampleTask, registerExamples, shippedPrompts, type Tasks } from './example-prompts.js'

export interface FirstStart {
  readonly registry: Tasks & Pick<Registry, 'keyState' | 'createFirstKey'>
  readonly artifacts: Artifacts
  readonly base: BaseManifest
  /** Secret of the first key; absent: none is made. */
  readonly firstKey: string | undefined
  /** Folder of the example prompts; absent: those of this installation. */
  readonly examples?: string
}

export interface PreparedRegistry {
  /** The example tasks that can be used. */
  readonly examples: readonly ExampleTask[]
  /** Null unless this call made it. */
  readonly firstKey: KeyRecord | null
  /** Whether anybody can ask at all. */
  readonly hasKeys: boolean
}

/** For the operator whose registry has no keys. */
export const HOW_TO_MAKE_A_KEY = `tenant ${DEFAULT_TENANT} has no API key; "permafrost keys create --tenant ${DEFAULT_TENANT}" makes one`

/**
 * Any number of processes may do this at once and again at each start: every example is registered once, the first key is
 * made once. What the operator deletes or revokes stays away.
 */
export async function prepareRegistry ({ registry, artifacts, base, firstKey, examples = join(PROJECT_ROOT, 'examples', 'prompts') }: FirstStart): Promise<PreparedRegistry> {
  const isNew = await registry.keyState(DEFAULT_TENANT) === 'never'
  const registered = await registerExamples(await shippedPrompts(examples), base, DEFAULT_TENANT, registry, artifacts, isNew)
  // After the examples: a start that is cut off in between goes through all of them again.
  const key = firstKey === undefined ? null : await registry.createFirstKey(DEFAULT_TENANT, 'first key', SCOPES, firstKey)
  return { examples: registered, firstKey: key, hasKeys: await registry.keyState(DEFAULT_TENANT) === 'some' }
}
