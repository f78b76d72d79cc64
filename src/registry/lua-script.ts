import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Redis } from 'ioredis'
import { PROJECT_ROOT } from '../project.js'

/**
 * A script of `src/registry/lua`, `<name>-<number of keys>.lua`. Every script of ours answers an array of strings: a
 * word for what happened, then what belongs to it. Scripts run alone, so what one reads cannot change before it writes.
 */
export class LuaScript {
  readonly #file: string
  readonly #source: string
  readonly #sha: string
  readonly #numKeys: number

  constructor (file: string) {
    const numKeys = /-([0-9]+)\.lua$/.exec(file)?.[1]
    if (numKeys === undefined) throw new Error(`internal: the name of ${file} does not say its number of keys`)
    this.#file = file
    this.#numKeys = Number(numKeys)
    this.#source = readFileSync(join(PROJECT_ROOT, 'src', 'registry', 'lua', file), 'utf8')
    this.#sha = createHash('sha1').update(this.#source).digest('hex')
  }

  async run (redis: Redis, keys: readonly string[], args: ReadonlyArray<string | number>): Promise<string[]> {
    if (keys.length !== this.#numKeys) throw new Error(`internal: ${this.#file} takes ${this.#numKeys} keys, not ${keys.length}`)
    const reply = await this.#evaluate(redis, [...keys, ...args])
    if (!Array.isArray(reply) || !reply.every(part => typeof part === 'string')) throw new Error(`internal: ${this.#file} answered ${JSON.stringify(reply)}`)
    return reply
  }

  async #evaluate (redis: Redis, keysAndArgs: Array<string | number>): Promise<unknown> {
    try {
      return await redis.evalsha(this.#sha, this.#numKeys, ...keysAndArgs)
    } catch (error) {
      // A server that was started again has forgotten its scripts.
      if (!(error instanceof Error && error.message.startsWith('NOSCRIPT'))) throw error
      return await redis.eval(this.#source, this.#numKeys, ...keysAndArgs)
    }
  }
}
