import { closeSync, fstatSync, openSync, statSync } from 'node:fs'
import { MalformedModelError } from '../errors.js'
import { readRange } from './byte-reader.js'
import { firstNonFinite, nonFiniteReport } from './float-formats.js'
import { LENGTH_BYTES, floatValues, headerLength, parseHeader } from './safetensors.js'
import type { SafetensorsEntry, SafetensorsHeader } from './safetensors.js'

const COMPARED_BYTES = 1024 * 1024

/** A safetensors file whose header is read and checked; data is read tensor by tensor. */
export class SafetensorsFile {
  readonly header: SafetensorsHeader
  readonly #fd: number

  /** @throws MalformedModelError as `parseHeader` */
  constructor (path: string) {
    if (!statSync(path).isFile()) throw new MalformedModelError(`${path} is not a regular file`)
    this.#fd = openSync(path, 'r')
    try {
      const fileBytes = fstatSync(this.#fd).size
      const length = headerLength(readRange(this.#fd, 0, Math.min(LENGTH_BYTES, fileBytes)), fileBytes)
      this.header = parseHeader(readRange(this.#fd, LENGTH_BYTES, length), fileBytes)
    } catch (error) {
      closeSync(this.#fd)
      throw error
    }
  }

  /** Float32 values of a tensor of the header. @throws MalformedModelError for integers, or a value that is not finite */
  read (name: string): Float32Array {
    const entry = this.#entry(name)
    const values = floatValues(name, entry, readRange(this.#fd, entry.offset, entry.bytes))
    const first = firstNonFinite(values)
    if (first >= 0) throw new MalformedModelError(`${name} contains ${nonFiniteReport(values, first)}`)
    return values
  }

  /** Whether a tensor holds the same bytes in the same format as one of `other`. Shapes may differ. */
  sameTensor (name: string, other: SafetensorsFile, otherName: string): boolean {
    const [own, theirs] = [this.#entry(name), other.#entry(otherName)]
    if (own.dtype !== theirs.dtype || own.bytes !== theirs.bytes) return false
    for (let at = 0; at < own.bytes; at += COMPARED_BYTES) {
      const count = Math.min(COMPARED_BYTES, own.bytes - at)
      if (Buffer.compare(readRange(this.#fd, own.offset + at, count), readRange(other.#fd, theirs.offset + at, count)) !== 0) return false
    }
    return true
  }

  #entry (name: string): SafetensorsEntry {
    const entry = this.header.tensors.get(name)
    if (entry === undefined) throw new Error(`internal: no tensor ${name}`)
    return entry
  }

  close (): void {
    closeSync(this.#fd)
  }
}
