/** Single rows of the LM head and the gain of the last norm, read from the base's weights without loading them. */
import { open, type FileHandle } from 'node:fs/promises'
import { join } from 'node:path'
import { BASE_FILES } from '../model/base.js'
import { EMBEDDING, HEAD } from '../model/llama-tensors.js'
import { headerLength, LENGTH_BYTES, parseHeader, type SafetensorsEntry, type SafetensorsHeader } from '../model/safetensors.js'

const FINAL_NORM = 'model.norm.weight'

export class HeadRows {
  readonly #file: FileHandle
  readonly #header: SafetensorsHeader
  /** A tied base has no head of its own. */
  readonly #head: SafetensorsEntry

  private constructor (file: FileHandle, header: SafetensorsHeader) {
    this.#file = file
    this.#header = header
    this.#head = header.tensors.get(HEAD) ?? this.#entry(EMBEDDING)
  }

  /** @throws MalformedModelError when the file is no safetensors file */
  static async open (folder: string): Promise<HeadRows> {
    const file = await open(join(folder, BASE_FILES.weights))
    try {
      const { size } = await file.stat()
      const prefix = await readAt(file, 0, Math.min(LENGTH_BYTES, size))
      return new HeadRows(file, parseHeader(await readAt(file, LENGTH_BYTES, headerLength(prefix, size)), size))
    } catch (error) {
      await file.close()
      throw error
    }
  }

  /** [ids.length, hidden] */
  async read (ids: readonly number[]): Promise<Float32Array> {
    const [vocabulary, width] = this.#head.shape as [number, number]
    const rows = new Float32Array(ids.length * width)
    for (const [index, id] of ids.entries()) {
      if (id >= vocabulary) throw new Error(`internal: row ${id} of a head of ${vocabulary}`)
      rows.set(floats(await readAt(this.#file, this.#head.offset + id * width * 4, width * 4)), index * width)
    }
    return rows
  }

  /** [hidden] */
  async finalNormGain (): Promise<Float32Array> {
    const { offset, bytes } = this.#entry(FINAL_NORM)
    return floats(await readAt(this.#file, offset, bytes))
  }

  async close (): Promise<void> {
    await this.#file.close()
  }

  #entry (name: string): SafetensorsEntry {
    const entry = this.#header.tensors.get(name)
    if (entry === undefined) throw new Error(`the base's ${BASE_FILES.weights} has no tensor ${name}`)
    return entry
  }
}

async function readAt (file: FileHandle, offset: number, bytes: number): Promise<Uint8Array> {
  const buffer = new Uint8Array(bytes)
  const { bytesRead } = await file.read(buffer, 0, bytes, offset)
  if (bytesRead !== bytes) throw new Error(`the base's ${BASE_FILES.weights} ends at byte ${offset + bytesRead}`)
  return buffer
}

/** Base weights are float32 (`BASE_FILES.weights`). */
function floats (bytes: Uint8Array): Float32Array {
  return new Float32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 4)
}
