/** The registry as the operator of the machine reaches it: by the service's own Redis, without a key. */
import type { Config } from '../config.js'
import { RedisRegistry } from '../registry/redis-registry.js'
import { openStores } from '../registry/store/open-stores.js'
import { homePaths } from '../supervisor/home.js'
import { UnreachableError } from './api-client.js'
import { startedService } from './running-service.js'

/** @throws UnreachableError when no service runs and no Redis is named */
export async function openOperatorRegistry (config: Config): Promise<RedisRegistry> {
  const url = config.REDIS_URL ?? (await startedService(homePaths(config.PERMAFROST_HOME)))?.redisUrl
  if (url === undefined) throw new UnreachableError(`no service runs on PERMAFROST_HOME ${config.PERMAFROST_HOME}; start it, or set REDIS_URL to its Redis`)
  const { objects } = await openStores(config)
  return await RedisRegistry.connect({ url, objects, whenDown: 'fail' })
}
