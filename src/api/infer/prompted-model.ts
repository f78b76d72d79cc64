import { ServiceError } from '../../errors.js'
import type { BaseManifest } from '../../model/base.js'
import type { TaskSpec } from '../../prompt/task-spec.js'
import { parseReference } from '../../registry/names.js'
import type { Registry, ResolvedTask, VersionRecord } from '../../registry/registry.js'

/** What a request asks at this moment: the frozen LM with one version's prompt in front, with several side by side, or alone. */
export interface PromptedModel {
  readonly task: string
  /** Null for the bare base. */
  readonly spec: TaskSpec | null
  /** None for the bare base, several by their numbers for an ensemble. */
  readonly versions: readonly VersionRecord[]
}

/**
 * @param reference `task`, `task@alias`, `task@7`, or the base's name
 * @param ensemble numbers of versions that answer together, in any order
 * @throws ServiceError task_not_found, alias_not_found, version_not_found, wrong_base; invalid_request when an ensemble is asked of anything but `task`
 */
export async function resolveModel (registry: Registry, base: BaseManifest, tenant: string, reference: string, ensemble: readonly number[] | undefined): Promise<PromptedModel> {
  if (reference === base.name) {
    if (ensemble !== undefined) throw new ServiceError('invalid_request', 'ensemble is for a task: the bare base has no versions', { param: 'ensemble' })
    return { task: base.name, spec: null, versions: [] }
  }
  const resolved = ensemble === undefined ? [await registry.resolve(tenant, reference)] : await resolveEnsemble(registry, tenant, reference, ensemble)
  const [{ task }] = resolved as [ResolvedTask]
  if (task.base !== base.digest) throw new ServiceError('wrong_base', `the task belongs to base ${task.base}, this service runs ${base.digest}`, { param: 'task' })
  return { task: task.name, spec: task.spec, versions: resolved.map(({ version }) => version) }
}

/** By their numbers, so that the same members are the same request however they are ordered. */
async function resolveEnsemble (registry: Registry, tenant: string, reference: string, ensemble: readonly number[]): Promise<ResolvedTask[]> {
  const { task } = parseReference(reference)
  if (task !== reference) throw new ServiceError('invalid_request', `ensemble names the versions itself: ask ${task}, not ${reference}`, { param: 'ensemble' })
  const numbers = [...ensemble].sort((a, b) => a - b)
  try {
    return await Promise.all(numbers.map(async number => await registry.resolve(tenant, `${task}@${number}`)))
  } catch (error) {
    if (!(error instanceof ServiceError) || error.code !== 'version_not_found') throw error
    throw new ServiceError(error.code, error.message, { param: 'ensemble', cause: error })
  }
}

/** Of the longest prompt: what the input shares its context with. */
export function mostVirtualTokens ({ versions }: PromptedModel): number {
  return Math.max(0, ...versions.map(version => version.numVirtualTokens))
}

/** Of all its prompts. */
export function allVirtualTokens ({ versions }: PromptedModel): number {
  return versions.reduce((sum, version) => sum + version.numVirtualTokens, 0)
}
