/** Container and metadata of a GGUF file against what its writer recorded, exact. */
import { createHash } from 'node:crypto'
import { statSync } from 'node:fs'
import type { Gguf } from '../../src/model/gguf.js'
import type { GgufArray, GgufScalar, GgufValue } from '../../src/model/gguf-values.js'
import { sameList } from './fixture-files.js'
import type { Checks } from './ledger.js'

export interface RecordedContainer { readonly version: number, readonly tensor_count: number, readonly kv_count: number, readonly data_offset: number, readonly file_bytes: number }

/** A long array is recorded by its length, its ends and a digest of its compact JSON. */
export interface RecordedValue {
  readonly type: string
  readonly of?: string
  readonly value?: unknown
  readonly length?: number
  readonly first?: readonly unknown[]
  readonly last?: readonly unknown[]
  readonly sha256_of_json?: string
}

export function compareContainer (checks: Checks, path: string, gguf: Gguf, recorded: RecordedContainer): void {
  const first = Math.min(...[...gguf.tensors.values()].map(({ offset }) => offset))
  const found = [gguf.version, gguf.tensors.size, gguf.metadata.size, first, statSync(path).size]
  checks.equal('container', `version, tensors, keys, data, bytes: ${found.join()}`, sameList(found, [recorded.version, recorded.tensor_count, recorded.kv_count, recorded.data_offset, recorded.file_bytes]))
}

export function compareMetadata (checks: Checks, { metadata }: Gguf, recorded: Readonly<Record<string, RecordedValue>>): void {
  checks.equal('metadata', 'names of keys', sameList([...metadata.keys()].sort(), Object.keys(recorded).sort()))
  for (const [key, expected] of Object.entries(recorded)) {
    const value = metadata.get(key)
    checks.equal('metadata', key, value !== undefined && sameValue(value, expected))
  }
}

function sameValue ({ type, value }: GgufValue, expected: RecordedValue): boolean {
  if (type !== expected.type) return false
  if (type !== 'array') return sameScalar(value as GgufScalar, expected.value, type)
  const { of, values } = value as GgufArray
  if (of !== expected.of) return false
  const same = (found: readonly GgufScalar[], wanted: readonly unknown[]): boolean => found.length === wanted.length && found.every((one, i) => sameScalar(one, wanted[i], of))
  if (Array.isArray(expected.value)) return same(values, expected.value as unknown[])
  const { length, first = [], last = [], sha256_of_json: digest } = expected
  return values.length === length && same(values.slice(0, first.length), first) && same(values.slice(values.length - last.length), last) &&
    (digest === undefined || createHash('sha256').update(JSON.stringify(values)).digest('hex') === digest)
}

function sameScalar (found: GgufScalar, wanted: unknown, type: string): boolean {
  if (typeof found === 'bigint') return Number(found) === wanted
  return type === 'float32' && typeof wanted === 'number' ? found === Math.fround(wanted) : found === wanted
}
