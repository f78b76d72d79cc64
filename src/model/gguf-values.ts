/** Metadata of a GGUF file: reading it, and asking for a key with the type and range that the caller needs. */
import { MalformedModelError } from '../errors.js'
import type { ByteReader } from './byte-reader.js'

/** Text; its raw bytes when they are not UTF-8, which `textOf` and `textsOf` refuse. */
export type GgufText = string | Uint8Array
/** 64-bit integers are bigint only beyond 2^53. */
export type GgufScalar = GgufText | number | bigint | boolean
export interface GgufArray { readonly of: GgufScalarType, readonly values: readonly GgufScalar[] }
export interface GgufValue { readonly type: GgufScalarType | 'array', readonly value: GgufScalar | GgufArray }
export type GgufMetadata = ReadonlyMap<string, GgufValue>

const SCALAR_TYPES = ['uint8', 'int8', 'uint16', 'int16', 'uint32', 'int32', 'float32', 'bool', 'string', 'array', 'uint64', 'int64', 'float64'] as const
export type GgufScalarType = Exclude<typeof SCALAR_TYPES[number], 'array'>
const SCALAR_BYTES: Record<GgufScalarType, number> = {
  uint8: 1, int8: 1, uint16: 2, int16: 2, uint32: 4, int32: 4, float32: 4, bool: 1, string: 8, uint64: 8, int64: 8, float64: 8
}

// The format's own limit for keys.
const MAX_KEY_BYTES = 65_535
// The longest strings in use are chat templates of some 20 kB.
const MAX_STRING_BYTES = 1_000_000
// The largest vocabularies have some 300 thousand tokens and as many merges.
const MAX_ARRAY_LENGTH = 4_194_304

export function readMetadata (reader: ByteReader, count: number): GgufMetadata {
  const metadata = new Map<string, GgufValue>()
  for (let i = 0; i < count; i++) {
    const place = `key ${i + 1} of ${count}`
    const at = reader.offset
    const key = reader.text(MAX_KEY_BYTES, place)
    if (typeof key !== 'string') throw new MalformedModelError(`${place} at byte ${at} is not UTF-8`)
    if (metadata.has(key)) throw new MalformedModelError(`key ${shown(key)} is given twice`)
    metadata.set(key, readValue(reader, key))
  }
  return metadata
}

function readValue (reader: ByteReader, key: string): GgufValue {
  const type = valueType(reader, key, 'has')
  if (type !== 'array') return { type, value: readScalar(reader, type, shown(key)) }
  const of = valueType(reader, key, 'is an array of')
  // Nothing in use needs them, llama.cpp refuses them, and depth would need a limit of its own.
  if (of === 'array') throw new MalformedModelError(`key ${shown(key)} is an array of arrays, which is not supported`)
  const length = reader.u64(shown(key))
  if (length * BigInt(SCALAR_BYTES[of]) > BigInt(reader.left)) {
    throw new MalformedModelError(`file of ${reader.size} bytes ends inside key ${shown(key)}: array of ${length} entries of type ${of}, at least ${SCALAR_BYTES[of]} bytes each, does not fit`)
  }
  if (length > MAX_ARRAY_LENGTH) throw new MalformedModelError(`key ${shown(key)}: array of ${length} entries, limit ${MAX_ARRAY_LENGTH}`)
  const values: GgufScalar[] = []
  const place = shown(key)
  for (let i = 0; i < Number(length); i++) values.push(readScalar(reader, of, place))
  return { type: 'array', value: { of, values } }
}

function valueType (reader: ByteReader, key: string, verb: string): typeof SCALAR_TYPES[number] {
  const id = reader.u32(shown(key))
  const type = SCALAR_TYPES[id]
  if (type === undefined) throw new MalformedModelError(`key ${shown(key)} ${verb} value type ${id}, which does not exist`)
  return type
}

function readScalar (reader: ByteReader, type: GgufScalarType, place: string): GgufScalar {
  switch (type) {
    case 'uint8': return reader.u8(place)
    case 'int8': return reader.i8(place)
    case 'uint16': return reader.u16(place)
    case 'int16': return reader.i16(place)
    case 'uint32': return reader.u32(place)
    case 'int32': return reader.i32(place)
    case 'float32': return reader.f32(place)
    case 'bool': return reader.u8(place) !== 0
    case 'string': return reader.text(MAX_STRING_BYTES, place)
    case 'uint64': return small(reader.u64(place))
    case 'int64': return small(reader.i64(place))
    case 'float64': return reader.f64(place)
  }
}

function small (value: bigint): number | bigint {
  return value >= Number.MIN_SAFE_INTEGER && value <= Number.MAX_SAFE_INTEGER ? Number(value) : value
}

/** A name from the file as it may be printed: control characters escaped, length bounded. */
export function shown (name: string): string {
  const quoted = JSON.stringify(name.length > 100 ? name.slice(0, 100) + '…' : name)
  return /^"[\w.\-/ ]+"$/.test(quoted) ? quoted.slice(1, -1) : quoted
}

function described (entry: GgufValue): string {
  if (entry.type !== 'array') return `${/^[aeiou]/.test(entry.type) ? 'an' : 'a'} ${entry.type}`
  const { of } = entry.value as GgufArray
  return `an array of ${of === 'string' ? 'strings' : /int/.test(of) ? `integers (${of})` : of}`
}

function need<T> (value: T | null, key: string): T {
  if (value === null) throw new MalformedModelError(`key ${key} is missing`)
  return value
}

/** A text, or null without the key. @throws MalformedModelError for another type or bytes that are not UTF-8 */
export function optionalText (metadata: GgufMetadata, key: string): string | null {
  const entry = metadata.get(key)
  if (entry === undefined) return null
  if (entry.type !== 'string') throw new MalformedModelError(`${key} is ${described(entry)}; a string is expected`)
  if (typeof entry.value !== 'string') throw new MalformedModelError(`${key} is not UTF-8`)
  return entry.value
}

export function textOf (metadata: GgufMetadata, key: string): string {
  return need(optionalText(metadata, key), key)
}

/** A list of texts, or null without the key. @throws MalformedModelError for another type, or naming the entry that is not UTF-8 */
export function optionalTexts (metadata: GgufMetadata, key: string): readonly string[] | null {
  const entry = metadata.get(key)
  if (entry === undefined) return null
  const array = entry.type === 'array' ? entry.value as GgufArray : null
  if (array === null || array.of !== 'string') throw new MalformedModelError(`${key} is ${described(entry)}; an array of strings is expected`)
  const bad = array.values.findIndex(value => typeof value !== 'string')
  if (bad >= 0) throw new MalformedModelError(`${key}: entry ${bad} is not UTF-8`)
  return array.values as readonly string[]
}

export function textsOf (metadata: GgufMetadata, key: string): readonly string[] {
  return need(optionalTexts(metadata, key), key)
}

/** A list of integers of any width, or null without the key. */
export function optionalIntegers (metadata: GgufMetadata, key: string): readonly number[] | null {
  const entry = metadata.get(key)
  if (entry === undefined) return null
  const array = entry.type === 'array' ? entry.value as GgufArray : null
  if (array === null || !/int/.test(array.of)) throw new MalformedModelError(`${key} is ${described(entry)}; an array of integers is expected`)
  const bad = array.values.findIndex(value => typeof value !== 'number')
  if (bad >= 0) throw new MalformedModelError(`${key}: entry ${bad} is ${String(array.values[bad])}, beyond 2^53`)
  return array.values as readonly number[]
}

/** An integer within [min, max], or null without the key. */
export function optionalInteger (metadata: GgufMetadata, key: string, min = 0, max = 0xffff_ffff): number | null {
  const entry = metadata.get(key)
  if (entry === undefined) return null
  if (!/int/.test(entry.type)) throw new MalformedModelError(`${key} is ${described(entry)}; an integer is expected`)
  const value = entry.value as number | bigint
  if (value < min || value > max) throw new MalformedModelError(`${key} is ${value}; ${min} to ${max} is possible`)
  return Number(value)
}

export function integerOf (metadata: GgufMetadata, key: string, min = 0, max = 0xffff_ffff): number {
  return need(optionalInteger(metadata, key, min, max), key)
}

/** A number that is positive and finite also as float32, or null without the key. */
export function optionalPositive (metadata: GgufMetadata, key: string): number | null {
  const entry = metadata.get(key)
  if (entry === undefined) return null
  if (!/int|float/.test(entry.type)) throw new MalformedModelError(`${key} is ${described(entry)}; a number is expected`)
  const value = Number(entry.value)
  if (!(Math.fround(value) > 0 && Number.isFinite(Math.fround(value)))) throw new MalformedModelError(`${key} is ${value}; a positive float32 number is expected`)
  return value
}

export function positiveOf (metadata: GgufMetadata, key: string): number {
  return need(optionalPositive(metadata, key), key)
}

export function optionalBoolean (metadata: GgufMetadata, key: string): boolean | null {
  const entry = metadata.get(key)
  if (entry === undefined) return null
  if (entry.type !== 'bool') throw new MalformedModelError(`${key} is ${described(entry)}; a bool is expected`)
  return entry.value as boolean
}
