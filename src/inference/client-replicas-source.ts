import type { Logger } from 'pino'
import type { Config } from '../config.js'
import type { Registry } from '../registry/registry.js'
import { replicaUrls } from './client-address.js'

/** Where the api learns which inference processes there are. */
export interface ReplicaSource {
  /** Their urls, in any order. @throws Error when nobody can say: those known stay known */
  urls (): Promise<readonly string[]>
  /** Hear that the answer may be another one; it may also become so in silence. @returns a function that ends it */
  onChange (listener: () => void): () => void
}

/** The list of INFERENCE_URL, or those that have registered. @throws ConfigError for a bad list */
export function replicaSource (config: Pick<Config, 'INFERENCE_URL' | 'INFERENCE_SECRET'>, registry: Pick<Registry, 'listReplicas' | 'onEvent'>, logger: Logger): ReplicaSource {
  const listed = replicaUrls(config)
  if (listed !== null) return { urls: async () => listed, onChange: () => () => {} }
  const said = new Set<string>()
  return {
    async urls () {
      const { replicas, refused } = await registry.listReplicas()
      for (const reason of refused) {
        if (said.has(reason)) continue
        said.add(reason)
        logger.warn({ reason }, 'inference process is not used')
      }
      return replicas.map(({ url }) => url)
    },
    onChange: listener => registry.onEvent(({ type }) => {
      if (type === 'replica') listener()
    })
  }
}
