import { ServiceError } from '../src/errors.js'
import type { Registry } from '../src/registry/registry.js'
import type { ObjectStore } from '../src/registry/store/object-store.js'
import { isOfNewerSchema } from '../src/schema.js'
import { FINAL_STATES } from '../src/training/job.js'

/**
 * Delete checkpoints that nobody will continue: of jobs that were cancelled while they waited in the queue, or whose
 * worker died after their end. Safe beside running workers, whose jobs are not final.
 */
export async function sweepCheckpoints (objects: ObjectStore, registry: Pick<Registry, 'jobState'>): Promise<void> {
  for (const key of await objects.list('checkpoints/')) {
    const [, tenant, job] = key.split('/')
    if (tenant !== undefined && job !== undefined && await isOver(registry, tenant, job)) await objects.delete(key)
  }
}

async function isOver (registry: Pick<Registry, 'jobState'>, tenant: string, job: string): Promise<boolean> {
  try {
    return FINAL_STATES.includes(await registry.jobState(tenant, job))
  } catch (error) {
    if (error instanceof ServiceError && error.code === 'job_not_found') return true
    if (isOfNewerSchema(error)) return false
    throw error
  }
}
