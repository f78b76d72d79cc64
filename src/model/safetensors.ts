/**
 * The safetensors format: 8 bytes of header length, a JSON header, the data section. The header is untrusted: length,
 * dtypes, shapes and ranges are checked against each other and against the file before anything is read, and every
 * byte of the data section belongs to exactly one tensor.
 */
import { MalformedModelError } from '../errors.js'
import { FLOAT_FORMATS, widen } from './float-formats.js'
import type { FloatFormat } from './float-formats.js'
import { scanJson } from './json-scan.js'

const DTYPE_BYTES = { F64: 8, F32: 4, F16: 2, BF16: 2, I64: 8, U64: 8, I32: 4, U32: 4, I16: 2, U16: 2, I8: 1, U8: 1, BOOL: 1, F8_E4M3: 1, F8_E5M2: 1 } as const
export type SafetensorsDtype = keyof typeof DTYPE_BYTES

export interface SafetensorsEntry {
  readonly dtype: SafetensorsDtype
  readonly shape: readonly number[]
  /** From the start of the file, in bytes. */
  readonly offset: number
  readonly bytes: number
}

export interface SafetensorsHeader {
  readonly tensors: ReadonlyMap<string, SafetensorsEntry>
  readonly metadata: ReadonlyMap<string, string>
}

export const LENGTH_BYTES = 8
// The format's own limit.
const MAX_HEADER_BYTES = 100_000_000
// An entry is an object of arrays: header, entry, shape.
const MAX_DEPTH = 3

/** Bytes of the JSON header, from the first 8 bytes of a file. @throws MalformedModelError */
export function headerLength (prefix: Uint8Array, fileBytes: number): number {
  if (fileBytes === 0) throw new MalformedModelError('file is empty: a safetensors file starts with an 8-byte header length')
  if (fileBytes < LENGTH_BYTES) throw new MalformedModelError(`file is ${fileBytes} bytes long, shorter than the ${LENGTH_BYTES}-byte header length`)
  const length = new DataView(prefix.buffer, prefix.byteOffset).getBigUint64(0, true)
  if (length === 0n) throw new MalformedModelError('header length is 0: there is no JSON header')
  if (length > BigInt(MAX_HEADER_BYTES)) throw new MalformedModelError(`declared header length ${length} exceeds the format's limit of ${MAX_HEADER_BYTES} and the file of ${fileBytes} bytes`)
  const follow = fileBytes - LENGTH_BYTES
  if (length > BigInt(follow)) throw new MalformedModelError(`header length is ${length} but only ${follow} header bytes follow`)
  return Number(length)
}

/** `json` is the header without its length. @throws MalformedModelError naming the tensor */
export function parseHeader (json: Uint8Array, fileBytes: number): SafetensorsHeader {
  const root = parseJson(json)
  const dataStart = LENGTH_BYTES + json.length
  const tensors = new Map<string, SafetensorsEntry>()
  const metadata = new Map<string, string>()
  for (const [name, entry] of Object.entries(root)) {
    if (name !== '__metadata__') {
      tensors.set(name, parseEntry(name, entry, dataStart, fileBytes - dataStart))
      continue
    }
    for (const [key, value] of Object.entries(object(entry) ?? { '': null })) {
      if (typeof value !== 'string') throw new MalformedModelError('__metadata__ must map strings to strings')
      metadata.set(key, value)
    }
  }
  checkCoverage(tensors, dataStart, fileBytes)
  return { tensors, metadata }
}

function parseJson (bytes: Uint8Array): Record<string, unknown> {
  let text: string
  try {
    text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
  } catch {
    throw new MalformedModelError('header is not valid UTF-8')
  }
  const { depth, repeatedKey } = scanJson(text)
  if (depth > MAX_DEPTH) throw new MalformedModelError(`header has an entry nested ${depth - 1} levels deep; a tensor entry has dtype, shape and data_offsets only`)
  let root: unknown
  try {
    root = JSON.parse(text)
  } catch {
    throw new MalformedModelError('header is not valid JSON')
  }
  const header = object(root)
  if (header === null) throw new MalformedModelError(`header must be a JSON object, found ${Array.isArray(root) ? 'an array' : typeof root}`)
  if (repeatedKey !== null) throw new MalformedModelError(`header names ${quoted(repeatedKey)} twice`)
  return header
}

function parseEntry (name: string, value: unknown, dataStart: number, dataBytes: number): SafetensorsEntry {
  const tensor = `tensor ${quoted(name)}`
  const entry = object(value)
  if (entry === null) throw new MalformedModelError(`${tensor} must be an object with dtype, shape and data_offsets`)
  const dtype = entry['dtype']
  if (dtype === undefined) throw new MalformedModelError(`${tensor} has no dtype`)
  if (typeof dtype !== 'string' || !isDtype(dtype)) throw new MalformedModelError(`${tensor} has unknown dtype ${quoted(String(dtype))}`)
  const shape = integers(entry['shape'], `${tensor}: shape`, 'dimension')
  const offsets = integers(entry['data_offsets'], `${tensor}: data_offsets`, 'data offset')
  const [start, end] = offsets
  if (start === undefined || end === undefined || offsets.length !== 2) throw new MalformedModelError(`${tensor}: data_offsets must be [start, end]`)
  if (end < start) throw new MalformedModelError(`${tensor} has data_offsets [${start}, ${end}]: the end is before the start`)
  const values = shape.reduce((product, dim) => product * dim, 1)
  if (!Number.isSafeInteger(values * DTYPE_BYTES[dtype])) throw new MalformedModelError(`${tensor} has shape [${shape.join(', ')}], whose size overflows`)
  if (end > dataBytes) throw new MalformedModelError(`${tensor} ends at byte ${end} of the data section, which has ${dataBytes} bytes`)
  const bytes = values * DTYPE_BYTES[dtype]
  if (bytes !== end - start) throw new MalformedModelError(`${tensor} is ${dtype} [${shape.join(', ')}] (${bytes} bytes) but spans ${end - start} bytes`)
  return { dtype, shape, offset: dataStart + start, bytes }
}

function checkCoverage (tensors: ReadonlyMap<string, SafetensorsEntry>, dataStart: number, fileBytes: number): void {
  const range = ({ offset, bytes }: SafetensorsEntry): string => `[${offset - dataStart}, ${offset - dataStart + bytes})`
  let free = dataStart
  let previous: [string, SafetensorsEntry] | null = null
  for (const [name, entry] of [...tensors].sort(([, a], [, b]) => a.offset - b.offset || a.bytes - b.bytes)) {
    if (entry.offset < free && previous !== null) {
      throw new MalformedModelError(`tensors ${quoted(previous[0])} and ${quoted(name)} overlap: ${range(previous[1])} and ${range(entry)}`)
    }
    if (entry.offset > free) throw new MalformedModelError(`bytes [${free - dataStart}, ${entry.offset - dataStart}) of the data section belong to no tensor`)
    free = entry.offset + entry.bytes
    previous = [name, entry]
  }
  if (free < fileBytes) throw new MalformedModelError(`data section has ${fileBytes - free} bytes that belong to no tensor`)
}

function isDtype (text: string): text is SafetensorsDtype {
  return Object.hasOwn(DTYPE_BYTES, text)
}

function object (value: unknown): Record<string, unknown> | null {
  return value !== null && typeof value === 'object' && !Array.isArray(value) ? value as Record<string, unknown> : null
}

function integers (value: unknown, place: string, noun: string): number[] {
  if (!Array.isArray(value)) throw new MalformedModelError(`${place} must be an array of integers`)
  for (const entry of value as unknown[]) {
    if (typeof entry !== 'number' || !Number.isInteger(entry)) throw new MalformedModelError(`${place} has a ${noun} that is not an integer: ${quoted(String(entry))}`)
    if (entry < 0) throw new MalformedModelError(`${place} has a negative ${noun}: ${entry}`)
    if (!Number.isSafeInteger(entry)) throw new MalformedModelError(`${place} has a ${noun} beyond 2^53: ${entry}`)
  }
  return value as number[]
}

/** A name from the file as it may be printed. */
function quoted (name: string): string {
  return `'${JSON.stringify(name.length > 100 ? name.slice(0, 100) + '…' : name).slice(1, -1)}'`
}

/** Whole files in memory. `values` of a tensor are widened by `floatValues`. @throws MalformedModelError */
export function parseSafetensors (file: Uint8Array): SafetensorsHeader {
  const length = headerLength(file, file.length)
  return parseHeader(file.subarray(LENGTH_BYTES, LENGTH_BYTES + length), file.length)
}

/** Float32 of one entry's bytes. @throws MalformedModelError when the dtype is no supported floating-point format */
export function floatValues (name: string, entry: SafetensorsEntry, bytes: Uint8Array): Float32Array {
  return widen(bytes, floatFormat(name, entry))
}

export function floatFormat (name: string, { dtype }: SafetensorsEntry): FloatFormat {
  const format = FLOAT_FORMATS.find(known => known === dtype)
  if (format === undefined) throw new MalformedModelError(`${name} has dtype ${dtype}; weights must be floating point (${FLOAT_FORMATS.join(', ')})`)
  return format
}
