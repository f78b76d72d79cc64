import type { Redis } from 'ioredis'

/**
 * What is wrong with this Redis as the only place where accepted jobs and published versions are remembered; empty
 * when nothing is. INFO and not CONFIG GET, which hosted servers forbid.
 */
export async function checkRedis (redis: Redis): Promise<string[]> {
  const info = await redis.info()
  const field = (name: string): string | undefined => new RegExp(`^${name}:(.*?)\r?$`, 'm').exec(info)?.[1]
  const warnings: string[] = []
  if (field('aof_enabled') !== '1') warnings.push('Redis runs without an append-only file (appendonly yes): jobs, keys and versions written since its last snapshot are lost when it stops')
  const policy = field('maxmemory_policy')
  if (policy !== 'noeviction') warnings.push(`Redis evicts keys when memory is short (maxmemory-policy ${policy ?? 'unknown'}, should be noeviction): jobs and versions can disappear`)
  return warnings
}
