/** Tasks in any number, written into registry and store of a running service: what training leaves, without training. */
import { Redis } from 'ioredis'
import type { Digest } from '../src/digest.js'
import type { Base } from '../src/model/base.js'
import { readArtifact } from '../src/prompt/artifact-files.js'
import type { TaskSpec } from '../src/prompt/task-spec.js'
import { DEFAULT_TENANT, PRODUCTION } from '../src/registry/names.js'
import { jobEventsKey, jobKey } from '../src/registry/redis-keys.js'
import { RedisRegistry } from '../src/registry/redis-registry.js'
import type { VersionRecord } from '../src/registry/registry.js'
import { openStores, type Stores } from '../src/registry/store/open-stores.js'
import { promptFiles } from '../test/inference/tiny-service.js'
import { seededNumbers } from '../test/support/numbers.js'

export const VIRTUAL_TOKENS = 20
const METHOD = 'prompt-tuning'
const LABEL_TOKENS = [5, 9]
/** Numbers of a trained prompt are of this order. */
const SCALE = 0.1

interface StoredPrompt { readonly digest: Digest, readonly spec: TaskSpec }

export class StoredTasks {
  readonly #base: Base
  readonly #stores: Stores
  readonly #registry: RedisRegistry
  readonly #redis: Redis
  readonly #prompts: StoredPrompt[] = []

  private constructor (base: Base, stores: Stores, registry: RedisRegistry, redis: Redis) {
    this.#base = base
    this.#stores = stores
    this.#registry = registry
    this.#redis = redis
  }

  static async open (base: Base, home: string, redisUrl: string): Promise<StoredTasks> {
    const stores = await openStores({ PERMAFROST_HOME: home })
    return new StoredTasks(base, stores, await RedisRegistry.connect({ url: redisUrl, objects: stores.objects, whenDown: 'fail' }), new Redis(redisUrl))
  }

  /** A classification of two labels, its prompt the one of this number and no other's, published as version 1. */
  async addWithPrompt (name: string, prompt: number): Promise<void> {
    await this.makePrompt(prompt, 'classification')
    await this.add(name, prompt)
  }

  /** Its numbers depend on `prompt` alone; a classification's has two labels. */
  async makePrompt (prompt: number, kind: TaskSpec['kind']): Promise<void> {
    const random = seededNumbers(prompt)
    const files = promptFiles(this.#base, { method: METHOD, virtualTokens: VIRTUAL_TOKENS, ...kind === 'classification' ? { labelTokens: LABEL_TOKENS } : {}, value: () => SCALE * random() })
    const { digest, config } = this.#base.manifest
    this.#prompts[prompt] = { digest: await this.#stores.artifacts.put(files), spec: readArtifact(files, { base: digest, config }).manifest.task }
  }

  /** A task like that, with one of the prompts that are there: those numbers go round. */
  async add (name: string, prompt: number): Promise<void> {
    await this.#registry.createTask(DEFAULT_TENANT, { name, description: 'one of many', base: this.#base.manifest.digest, spec: this.#prompt(prompt).spec, createdAt: new Date().toISOString() })
    await this.publish(name, prompt)
  }

  /** The task's next version. @param alias that moves to it; null: none */
  async publish (name: string, prompt: number, alias: string | null = PRODUCTION): Promise<VersionRecord> {
    return await this.#registry.publishVersion(DEFAULT_TENANT, name, {
      digest: this.#prompt(prompt).digest, method: METHOD, numVirtualTokens: VIRTUAL_TOKENS, metrics: { accuracy: 0.95 }, job: null, alias, by: 'bench'
    })
  }

  /** Bytes that Redis has allocated. */
  async redisBytes (): Promise<number> {
    return Number(/^used_memory:(\d+)/m.exec(await this.#redis.info('memory'))?.[1])
  }

  /** Of a job's record and events. */
  async redisBytesOfJob (id: string): Promise<{ bytes: number, events: number }> {
    const [record, events] = [jobKey(DEFAULT_TENANT, id), jobEventsKey(DEFAULT_TENANT, id)]
    const sizes = await Promise.all([record, events].map(async key => await this.#redis.memory('USAGE', key, 'SAMPLES', 0) ?? 0))
    return { bytes: sizes.reduce((sum, size) => sum + size), events: await this.#redis.xlen(events) }
  }

  async close (): Promise<void> {
    this.#redis.disconnect()
    await this.#registry.close()
  }

  #prompt (index: number): StoredPrompt {
    return this.#prompts[index % this.#prompts.length]!
  }
}
