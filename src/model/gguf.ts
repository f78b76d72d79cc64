/**
 * The container of llama.cpp's model files (ggml, docs/gguf.md), versions 2 and 3. Reads header, metadata and the list
 * of tensors; tensor data is only measured. The file is untrusted: nothing is allocated or looped over because a count
 * or length in it says so, before that has been compared with the bytes there are.
 */
import { MalformedModelError } from '../errors.js'
import { ByteReader } from './byte-reader.js'
import { readMetadata } from './gguf-values.js'
import type { GgufMetadata } from './gguf-values.js'
import { placeTensors, readTensorList } from './gguf-tensors.js'
import type { GgufTensor } from './gguf-tensors.js'

export interface Gguf {
  readonly version: 2 | 3
  readonly metadata: GgufMetadata
  /** By name, in file order of the list. */
  readonly tensors: ReadonlyMap<string, GgufTensor>
  /** Bytes of the file that belong to nothing. */
  readonly warnings: readonly string[]
}

const MAGIC = 'GGUF'
/** @throws MalformedModelError naming key, tensor or offset; an I/O error as it is */
export function readGguf (path: string): Gguf {
  const reader = new ByteReader(path)
  try {
    const version = readVersion(reader)
    const tensorCount = reader.u64('the header')
    const keyCount = reader.u64('the header')
    if (reader.left === 0) throw new MalformedModelError(`file ends after the header, which promises ${keyCount} keys and ${tensorCount} tensors`)
    // Each takes more than one byte. A smaller lie ends where the bytes do: nothing is allocated by count.
    for (const [count, things] of [[keyCount, 'keys'], [tensorCount, 'tensors']] as const) {
      if (count > BigInt(reader.size)) throw new MalformedModelError(`the header promises ${count} ${things}, which cannot fit in a file of ${reader.size} bytes`)
    }
    const metadata = readMetadata(reader, Number(keyCount))
    const list = readTensorList(reader, Number(tensorCount), Number(keyCount))
    const { tensors, warnings } = placeTensors(list, reader.offset, reader.size, metadata)
    return { version, metadata, tensors, warnings }
  } finally {
    reader.close()
  }
}

function readVersion (reader: ByteReader): 2 | 3 {
  if (reader.size === 0) throw new MalformedModelError('file is empty')
  if (reader.size < 4) throw new MalformedModelError(`file is ${reader.size} bytes long, shorter than the magic '${MAGIC}'`)
  const magic = Buffer.from(reader.bytes(4, 'the magic')).toString('latin1')
  if (magic !== MAGIC) throw new MalformedModelError(`file starts with ${JSON.stringify(magic)}, not '${MAGIC}'`)
  if (reader.left === 0) throw new MalformedModelError('file ends after the magic')
  const version = reader.u32('the header')
  if (version === 2 || version === 3) return version
  if (version === 1) throw new MalformedModelError('GGUF version 1 (32-bit lengths) is not supported; convert the file to version 3')
  // A small version read with the bytes the wrong way round has zeros below.
  if (version !== 0 && (version & 0xffff) === 0) throw new MalformedModelError(`big-endian GGUF (version reads as ${version}) is not supported; convert it to little-endian`)
  throw new MalformedModelError(`GGUF version ${version} is not known; versions 2 and 3 are`)
}
