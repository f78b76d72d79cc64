/** The snapshot that lies in this folder (README.md): what it says of itself, and its way into a Redis and a store of today. */
import { readdirSync, readFileSync } from 'node:fs'
import { mkdir } from 'node:fs/promises'
import { join, relative } from 'node:path'
import type { Redis } from 'ioredis'
import type { Digest } from '../../src/digest.js'
import type { Base } from '../../src/model/base.js'
import { importBase } from '../../src/model/import.js'
import { PROJECT_ROOT } from '../../src/project.js'
import type { ObjectStore } from '../../src/registry/store/object-store.js'
import type { JobEvent } from '../../src/training/job.js'
import { writeTinyLlama } from '../support/tiny-llama.js'

const FOLDER = join(PROJECT_ROOT, 'test', 'stored-version-1')

/** A POST that was answered under an Idempotency-Key. A text is the body of an upload, anything else is JSON. */
export interface StoredPost { readonly url: string, readonly key: string, readonly body: unknown, readonly status: number, readonly answer: unknown }

/** What version 1 answered, and the names of what it stored. */
export interface Facts {
  /** Of what `writeTinyLlama` makes without options. */
  readonly base: Digest
  readonly tenant: string
  /** Of the only API key. */
  readonly secret: string
  readonly jobs: Readonly<Record<'animals' | 'staging' | 'sentences' | 'failed' | 'running' | 'queued' | 'cancelled', string>>
  readonly posts: readonly StoredPost[]
  /** By the float32 graph; `text` without sampling, of 12 tokens. */
  readonly inferences: ReadonlyArray<{ readonly prompt: string, readonly input: string, readonly version: number, readonly digest: Digest, readonly scores?: Readonly<Record<string, number>>, readonly text?: string }>
}

export const facts = JSON.parse(readSnapshot('facts.json')) as Facts

/** A file of the snapshot, as text. */
export function readSnapshot (name: string): string {
  return readFileSync(join(FOLDER, name), 'utf8')
}

/** The commands that bring an empty Redis to the stored state; what expires begins to live anew. */
export const redisCommands: ReadonlyArray<readonly [command: string, key: string, ...rest: string[]]> =
  readSnapshot('redis.jsonl').trimEnd().split('\n').map(line => JSON.parse(line) as [string, string, ...string[]])

export interface StoredEvent { readonly id: string, readonly event: JobEvent }

/** Of a job's stream, as their JSON has them. */
export function storedEvents (job: string): StoredEvent[] {
  return redisCommands
    .filter(([command, key]) => command === 'XADD' && key === `pf:t:{${facts.tenant}}:job:${job}:events`)
    .map(([, , id, , json]) => ({ id: id!, event: withoutSchema<JobEvent>(json!) }))
}

/** @throws Error for a record that does not say schema 1 */
export function withoutSchema<Value extends object> (json: string): Value {
  const { schema, ...record } = JSON.parse(json) as { schema: number }
  if (schema !== 1) throw new Error(`not of schema 1: ${json}`)
  return record as Value
}

export async function loadSnapshot (redis: Redis, objects: ObjectStore): Promise<void> {
  for (const [command, ...args] of redisCommands) await redis.call(command, ...args)
  const store = join(FOLDER, 'store')
  for (const entry of readdirSync(store, { recursive: true, withFileTypes: true })) {
    const path = join(entry.parentPath ?? entry.path, entry.name)
    if (entry.isFile()) await objects.put(relative(store, path), readFileSync(path))
  }
}

/** The base of the snapshot, imported into `home`. @throws Error when the tests make another one by now */
export async function importSnapshotBase (home: string): Promise<Base> {
  const source = join(home, 'tiny-llama')
  await mkdir(source)
  writeTinyLlama(source)
  const base = await importBase(source, home, () => {})
  const { digest } = base.manifest
  if (digest !== facts.base) throw new Error(`writeTinyLlama() makes base ${digest}, but the snapshot of version 1 belongs to ${facts.base}: what it makes without options, and the tokenizer beside it, must stay as they are`)
  return base
}
