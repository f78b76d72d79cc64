import { createHash } from 'node:crypto'
import { type FileHandle, open } from 'node:fs/promises'
import { basename } from 'node:path'
import type { Digest } from '../digest.js'
import type { ExternalTensor } from '../graph/external.js'

/** The page size that memory maps start at. */
export const PAGE_BYTES = 4096

/** Writes tensors one after another, each at a multiple of the page size, and digests the whole. */
export class AlignedFile {
  readonly #handle: FileHandle
  readonly #name: string
  readonly #hash = createHash('sha256')
  #offset = 0

  private constructor (handle: FileHandle, name: string) {
    this.#handle = handle
    this.#name = name
  }

  /** @throws when the file exists */
  static async create (path: string): Promise<AlignedFile> {
    return new AlignedFile(await open(path, 'wx'), basename(path))
  }

  async add (data: Float32Array | Int8Array, dims: readonly number[]): Promise<ExternalTensor> {
    const padding = (PAGE_BYTES - this.#offset % PAGE_BYTES) % PAGE_BYTES
    if (padding > 0) await this.#write(new Uint8Array(padding))
    const offset = this.#offset
    await this.#write(new Uint8Array(data.buffer, data.byteOffset, data.byteLength))
    return { dtype: data instanceof Int8Array ? 'int8' : 'float32', dims, file: this.#name, offset, bytes: data.byteLength }
  }

  async close (): Promise<Digest> {
    await this.#handle.close()
    return `sha256:${this.#hash.digest('hex')}`
  }

  async #write (bytes: Uint8Array): Promise<void> {
    this.#hash.update(bytes)
    await this.#handle.writeFile(bytes)
    this.#offset += bytes.length
  }
}
