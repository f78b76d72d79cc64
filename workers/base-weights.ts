import { closeSync, fstatSync, openSync } from 'node:fs'
import { join } from 'node:path'
import { BASE_FILES } from '../src/model/base.js'
import { readRange } from '../src/model/byte-reader.js'
import type { PlainWeights } from '../src/model/frozen-weights.js'
import { floatValues, headerLength, LENGTH_BYTES, parseHeader, type SafetensorsEntry } from '../src/model/safetensors.js'

/**
 * The float32 weights of a base folder: where each tensor lies, for the graphs, and single rows by range. The file is
 * never read as a whole here; the graphs map it.
 */
export class BaseWeights {
  readonly folder: string
  readonly #fd: number
  readonly #tensors: ReadonlyMap<string, SafetensorsEntry>

  /** @throws MalformedModelError */
  constructor (folder: string) {
    this.folder = folder
    this.#fd = openSync(join(folder, BASE_FILES.weights), 'r')
    try {
      const fileBytes = fstatSync(this.#fd).size
      const length = headerLength(readRange(this.#fd, 0, Math.min(LENGTH_BYTES, fileBytes)), fileBytes)
      this.#tensors = parseHeader(readRange(this.#fd, LENGTH_BYTES, length), fileBytes).tensors
    } catch (error) {
      closeSync(this.#fd)
      throw error
    }
  }

  readonly plain: PlainWeights = name => {
    const { shape, offset, bytes } = this.#entry(name)
    return { dtype: 'float32', dims: shape, file: BASE_FILES.weights, offset, bytes }
  }

  /** Rows of a matrix, row-major [rows.length, columns]. */
  rows (name: string, rows: readonly number[]): Float32Array {
    const entry = this.#entry(name)
    const [height, columns] = entry.shape
    if (height === undefined || columns === undefined) throw new Error(`internal: ${name} is no matrix`)
    const values = new Float32Array(rows.length * columns)
    rows.forEach((row, i) => {
      if (row >= height) throw new Error(`internal: row ${row} of ${name}, which has ${height}`)
      values.set(floatValues(name, entry, readRange(this.#fd, entry.offset + row * columns * 4, columns * 4)), i * columns)
    })
    return values
  }

  close (): void {
    closeSync(this.#fd)
  }

  #entry (name: string): SafetensorsEntry {
    const entry = this.#tensors.get(name)
    if (entry?.dtype !== 'F32') throw new Error(`internal: the base has no float32 tensor ${name}`)
    return entry
  }
}
