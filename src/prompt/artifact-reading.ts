/** Reading the files of an untrusted artifact: JSON of bounded size, one float tensor of a known shape, never a pickle. */
import { MalformedModelError, ServiceError } from '../errors.js'
import { objectAt, type JsonObject } from '../model/json-shape.js'
import { floatFormat, parseSafetensors } from '../model/safetensors.js'
import { widen } from '../model/float-formats.js'
import type { ArtifactFiles } from './artifact.js'

// A thousand labels with their tokens take some 200 kB.
const MAX_JSON_BYTES = 4 * 1024 * 1024

function malformed (file: string, message: string): ServiceError {
  return new ServiceError('malformed_artifact', message, { param: file })
}

function bytesOf (files: ArtifactFiles, name: string): Uint8Array {
  const bytes = files.get(name)
  if (bytes === undefined) throw malformed(name, `${name} is missing`)
  // A pickle runs code when it is opened, whatever its name says: protocol 2 and above, or torch's zip around one.
  if ((bytes[0] === 0x80 && bytes[1]! >= 2 && bytes[1]! <= 5) || (bytes[0] === 0x50 && bytes[1] === 0x4b && bytes[2] === 3 && bytes[3] === 4)) {
    throw malformed(name, `${name} is a pickle or an archive of one; only safetensors are read`)
  }
  return bytes
}

/** @throws ServiceError malformed_artifact naming the file */
export function jsonFile (files: ArtifactFiles, name: string): JsonObject {
  const bytes = bytesOf(files, name)
  if (bytes.length > MAX_JSON_BYTES) throw malformed(name, `${name} has ${bytes.length} bytes, limit ${MAX_JSON_BYTES}`)
  let value: unknown
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes))
  } catch {
    throw malformed(name, `${name} is not valid JSON`)
  }
  return passing(name, () => objectAt(value, name))
}

/**
 * The only tensor of a safetensors file, as float32, all values finite.
 * @param complaint what is wrong with the shape [rows, columns], or null
 * @throws ServiceError malformed_artifact naming file and tensor; not_finite naming the tensor
 */
export function tensorFile (files: ArtifactFiles, name: string, tensor: string, complaint: (shape: readonly [rows: number, columns: number]) => string | null): Float32Array {
  const bytes = bytesOf(files, name)
  return passing(name, () => {
    const { tensors } = parseSafetensors(bytes)
    const entry = tensors.get(tensor)
    if (entry === undefined) throw new MalformedModelError(`${name} has no tensor ${tensor}`)
    if (tensors.size > 1) throw new MalformedModelError(`${name} has ${tensors.size} tensors; ${tensor} alone is expected`)
    const [rows, columns] = entry.shape
    if (rows === undefined || columns === undefined || entry.shape.length !== 2) throw new MalformedModelError(`${tensor} must have 2 dimensions, found ${entry.shape.length}`)
    const problem = complaint([rows, columns])
    if (problem !== null) throw new MalformedModelError(`${tensor} ${problem}`)
    const values = widen(bytes.slice(entry.offset, entry.offset + entry.bytes), floatFormat(tensor, entry))
    checkFinite(values, columns, tensor)
    return values
  })
}

function checkFinite (values: Float32Array, columns: number, tensor: string): void {
  const first = values.findIndex(value => !Number.isFinite(value))
  if (first < 0) return
  const count = values.reduce((total, value) => total + (Number.isFinite(value) ? 0 : 1), 0)
  const place = `${values[first]} at row ${Math.floor(first / columns)}, column ${first % columns}`
  throw new ServiceError('not_finite', `${tensor} contains ${count} value${count === 1 ? ' that is' : 's that are'} not finite (${place})`, { param: tensor })
}

/** What the readers of model files refuse is, inside an artifact, a malformed artifact. */
function passing<T> (name: string, read: () => T): T {
  try {
    return read()
  } catch (error) {
    if (error instanceof MalformedModelError) throw malformed(name, error.message.startsWith(name) ? error.message : `${name}: ${error.message}`)
    throw error
  }
}
