/** The list of tensors of a GGUF file, and where each one's data lies in it. */
import { MalformedModelError } from '../errors.js'
import type { ByteReader } from './byte-reader.js'
import { GGML_LAYOUTS, ggmlType } from './ggml-types.js'
import type { GgmlType } from './ggml-types.js'
import { optionalInteger, shown } from './gguf-values.js'
import type { GgufMetadata } from './gguf-values.js'

export interface GgufTensor {
  readonly name: string
  readonly type: GgmlType
  /** [rows, columns] as in a safetensors file; the file itself has it reversed. */
  readonly shape: readonly number[]
  /** From the start of the file, in bytes. */
  readonly offset: number
  readonly bytes: number
}

interface ListedTensor { readonly name: string, readonly type: GgmlType, readonly shape: readonly number[], readonly bytes: number, readonly dataOffset: bigint }

// ggml stores names in 64 bytes; longer ones exist in files of other programs.
const MAX_NAME_BYTES = 1024
const MAX_DIMENSIONS = 4
const DEFAULT_ALIGNMENT = 32

export function readTensorList (reader: ByteReader, count: number, keyCount: number): ListedTensor[] {
  const list: ListedTensor[] = []
  const names = new Set<string>()
  for (let i = 0; i < count; i++) {
    const at = reader.offset
    const place = `entry ${i + 1} of the list of tensors (the header promises ${keyCount} keys, then ${count} tensors) at byte ${at}`
    const name = reader.text(MAX_NAME_BYTES, place)
    if (typeof name !== 'string') throw new MalformedModelError(`${place}: the name is not UTF-8`)
    if (name === '') throw new MalformedModelError(`${place} is no tensor: its name is empty`)
    if (names.has(name)) throw new MalformedModelError(`tensor ${shown(name)} is listed twice`)
    names.add(name)
    list.push(readTensor(reader, name, place))
  }
  return list
}

function readTensor (reader: ByteReader, name: string, place: string): ListedTensor {
  const tensor = shown(name)
  const rank = reader.u32(place)
  if (rank === 0) throw new MalformedModelError(`tensor ${tensor} has no dimensions`)
  if (rank > MAX_DIMENSIONS) throw new MalformedModelError(`tensor ${tensor} has ${rank} dimensions, ${MAX_DIMENSIONS} is the most; or ${place} is no tensor`)
  const dims: bigint[] = []
  for (let d = 0; d < rank; d++) dims.push(reader.u64(place))
  const type = ggmlType(reader.u32(place), tensor)
  const dataOffset = reader.u64(place)
  if (dims.includes(0n)) throw new MalformedModelError(`tensor ${tensor} has a dimension of 0 (${dims.join(' x ')})`)
  const { blockValues, blockBytes } = GGML_LAYOUTS[type]
  // Bigints do not wrap; the dimensions are tiny numbers of at most 64 bits.
  const values = dims.reduce((product, dim) => product * dim, 1n)
  if (values / BigInt(blockValues) * BigInt(blockBytes) > BigInt(reader.size)) {
    throw new MalformedModelError(`tensor ${tensor}: ${dims.join(' x ')} values of ${type} do not fit in the file of ${reader.size} bytes`)
  }
  const columns = Number(dims[0])
  if (columns % blockValues !== 0) {
    throw new MalformedModelError(`tensor ${tensor}: a row of ${columns} values is not a multiple of the ${type} block of ${blockValues}`)
  }
  return { name, type, shape: dims.map(Number).reverse(), bytes: Number(values) / blockValues * blockBytes, dataOffset }
}

/** Checks every tensor's range against alignment, file and neighbours. `listEnd` is where the list of tensors ends. */
export function placeTensors (list: readonly ListedTensor[], listEnd: number, fileBytes: number, metadata: GgufMetadata): { tensors: Map<string, GgufTensor>, warnings: string[] } {
  const alignment = optionalInteger(metadata, 'general.alignment') ?? DEFAULT_ALIGNMENT
  if (alignment === 0 || !Number.isInteger(Math.log2(alignment))) throw new MalformedModelError(`general.alignment ${alignment} is not a power of two`)
  const dataStart = Math.ceil(listEnd / alignment) * alignment
  if (list.length > 0 && dataStart > fileBytes - 1) {
    throw new MalformedModelError(`file of ${fileBytes} bytes ends where tensor data should start, byte ${dataStart} (general.alignment ${alignment})`)
  }
  const tensors = new Map<string, GgufTensor>()
  for (const { name, type, shape, bytes, dataOffset } of list) {
    if (dataOffset > BigInt(fileBytes - dataStart)) {
      throw new MalformedModelError(`tensor ${shown(name)} starts at byte ${dataOffset} of the data section, beyond the file of ${fileBytes} bytes`)
    }
    if (dataOffset % BigInt(alignment) !== 0n) {
      throw new MalformedModelError(`offset ${dataOffset} of tensor ${shown(name)} is not a multiple of the alignment ${alignment}`)
    }
    tensors.set(name, { name, type, shape, offset: dataStart + Number(dataOffset), bytes })
  }
  return { tensors, warnings: checkNeighbours([...tensors.values()], dataStart, fileBytes, alignment) }
}

function checkNeighbours (tensors: readonly GgufTensor[], dataStart: number, fileBytes: number, alignment: number): string[] {
  const warnings: string[] = []
  const byOffset = [...tensors].sort((a, b) => a.offset - b.offset)
  let previous: GgufTensor | null = null
  for (const tensor of byOffset) {
    const end = tensor.offset + tensor.bytes
    if (previous !== null && tensor.offset === previous.offset) throw new MalformedModelError(`tensors ${shown(previous.name)} and ${shown(tensor.name)} have the same offset`)
    const free = previous === null ? dataStart : previous.offset + previous.bytes
    if (tensor.offset < free) throw new MalformedModelError(`tensor ${shown(tensor.name)} starts inside ${shown(previous?.name ?? '')}`)
    if (end > fileBytes) throw new MalformedModelError(`tensor ${shown(tensor.name)} ends ${end - fileBytes} bytes beyond the file of ${fileBytes} bytes`)
    const unused = tensor.offset - Math.ceil(free / alignment) * alignment
    if (unused > 0) warnings.push(`${unused} unused bytes before tensor ${shown(tensor.name)}`)
    previous = tensor
  }
  const free = previous === null ? dataStart : previous.offset + previous.bytes
  const trailing = fileBytes - Math.ceil(free / alignment) * alignment
  if (trailing > 0) warnings.push(`${trailing} bytes after the last tensor belong to none`)
  return warnings
}
