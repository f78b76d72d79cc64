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
    if (typeof name !== 'string') throw new MalformedModelError(`${place}: the name ${shown(Buffer.from(name).toString('latin1'))} is not UTF-8`)
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
  const unaligned = list.find(tensor => tensor.dataOffset % BigInt(alignment) !== 0n)
  if (unaligned !== undefined) {
    throw new MalformedModelError(`offset ${unaligned.dataOffset} of tensor ${shown(unaligned.name)} is not a multiple of the alignment ${alignment}`)
  }
  const warnings = checkRanges(list, dataStart, fileBytes, alignment)
  const tensors = new Map(list.map(({ name, type, shape, bytes, dataOffset }) => [name, { name, type, shape, offset: dataStart + Number(dataOffset), bytes }]))
  return { tensors, warnings }
}

/** In the order of the file, so that the first tensor that does not fit is the one that is named. */
function checkRanges (list: readonly ListedTensor[], dataStart: number, fileBytes: number, alignment: number): string[] {
  const warnings: string[] = []
  const byOffset = [...list].sort((a, b) => a.dataOffset < b.dataOffset ? -1 : a.dataOffset > b.dataOffset ? 1 : 0)
  let previous: ListedTensor | null = null
  let free = dataStart
  for (const tensor of byOffset) {
    const name = shown(tensor.name)
    if (tensor.dataOffset > BigInt(fileBytes - dataStart)) {
      throw new MalformedModelError(`tensor ${name} starts at byte ${tensor.dataOffset} of the data section, beyond the file of ${fileBytes} bytes`)
    }
    const start = dataStart + Number(tensor.dataOffset)
    if (previous?.dataOffset === tensor.dataOffset) throw new MalformedModelError(`tensors ${shown(previous.name)} and ${name} have the same offset`)
    if (previous !== null && start < free) throw new MalformedModelError(`tensor ${name} starts inside ${shown(previous.name)}`)
    const unused = start - Math.ceil(free / alignment) * alignment
    if (unused > 0) warnings.push(`${unused} unused bytes before tensor ${name}`)
    free = start + tensor.bytes
    if (free > fileBytes) throw new MalformedModelError(`tensor ${name} ends at byte ${free}, ${free - fileBytes} beyond the file of ${fileBytes} bytes`)
    previous = tensor
  }
  const trailing = fileBytes - Math.ceil(free / alignment) * alignment
  if (trailing > 0) warnings.push(`${trailing} bytes after the last tensor belong to none`)
  return warnings
}

/** @throws MalformedModelError when the tensor is missing or has another shape; `because` says which metadata ask for it */
export function expectShape (tensors: ReadonlyMap<string, GgufTensor>, name: string, shape: readonly number[], because: string): void {
  const reason = because === '' ? '' : ` (${because})`
  const tensor = tensors.get(name)
  if (tensor === undefined) throw new MalformedModelError(`tensor ${name} is missing${reason}`)
  const [found, expected] = [tensor.shape.join(' x '), shape.join(' x ')]
  if (found === expected) return
  const swapped = shape.length === 2 && found === shape.toReversed().join(' x ') ? ': rows and columns are swapped' : ''
  throw new MalformedModelError(`tensor ${name} is ${found}; the metadata asks for ${expected}${reason}${swapped}`)
}
