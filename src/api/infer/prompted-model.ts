import type { Digest } from '../../digest.js'
import { ServiceError } from '../../errors.js'
import type { BaseManifest } from '../../model/base.js'
import type { Method } from '../../prompt/methods.js'
import type { TaskSpec } from '../../prompt/task-spec.js'
import type { Registry } from '../../registry/registry.js'

/** What a name in a request means at this moment: the frozen LM with one version's prompt in front, or alone. */
export interface PromptedModel {
  readonly task: string
  /** Null for the bare base. */
  readonly spec: TaskSpec | null
  readonly version: number | null
  /** Of the artifact; of the base itself when it is bare. */
  readonly digest: Digest
  readonly method: Method | null
  readonly numVirtualTokens: number
}

/**
 * @param reference `task`, `task@alias`, `task@7`, or the base's name
 * @throws ServiceError task_not_found, alias_not_found, version_not_found, wrong_base
 */
export async function resolveModel (registry: Registry, base: BaseManifest, tenant: string, reference: string): Promise<PromptedModel> {
  if (reference === base.name) return { task: base.name, spec: null, version: null, digest: base.digest, method: null, numVirtualTokens: 0 }
  const { task, version } = await registry.resolve(tenant, reference)
  if (task.base !== base.digest) throw new ServiceError('wrong_base', `the task belongs to base ${task.base}, this service runs ${base.digest}`, { param: 'task' })
  return { task: task.name, spec: task.spec, version: version.number, digest: version.digest, method: version.method, numVirtualTokens: version.numVirtualTokens }
}
