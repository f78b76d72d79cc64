import { closeSync, fstatSync, openSync, readSync, statSync } from 'node:fs'
import { MalformedModelError } from '../errors.js'

// Small enough that a header of kilobytes costs nothing, large enough that a vocabulary takes a few reads.
const WINDOW_BYTES = 256 * 1024
const UTF8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/**
 * A cursor over an untrusted little-endian file that cannot run past its end: every read is compared with the bytes
 * left before anything is allocated. Synchronous, because a header is thousands of tiny reads. `what` names the thing
 * being read, for the message.
 * @throws MalformedModelError when the file ends inside what is read
 */
export class ByteReader {
  readonly size: number
  #offset = 0
  readonly #fd: number
  #window: Buffer = Buffer.alloc(0)
  #windowStart = 0

  constructor (path: string) {
    // Opening a named pipe would wait for a writer.
    if (!statSync(path).isFile()) throw new MalformedModelError(`${path} is not a regular file`)
    this.#fd = openSync(path, 'r')
    this.size = fstatSync(this.#fd).size
  }

  close (): void {
    closeSync(this.#fd)
  }

  get offset (): number { return this.#offset }
  get left (): number { return this.size - this.#offset }

  u8 (what: string): number { const at = this.#take(1, what); return this.#window.readUInt8(at) }
  i8 (what: string): number { const at = this.#take(1, what); return this.#window.readInt8(at) }
  u16 (what: string): number { const at = this.#take(2, what); return this.#window.readUInt16LE(at) }
  i16 (what: string): number { const at = this.#take(2, what); return this.#window.readInt16LE(at) }
  u32 (what: string): number { const at = this.#take(4, what); return this.#window.readUInt32LE(at) }
  i32 (what: string): number { const at = this.#take(4, what); return this.#window.readInt32LE(at) }
  f32 (what: string): number { const at = this.#take(4, what); return this.#window.readFloatLE(at) }
  u64 (what: string): bigint { const at = this.#take(8, what); return this.#window.readBigUInt64LE(at) }
  i64 (what: string): bigint { const at = this.#take(8, what); return this.#window.readBigInt64LE(at) }
  f64 (what: string): number { const at = this.#take(8, what); return this.#window.readDoubleLE(at) }

  /** A copy of the next `count` bytes. */
  bytes (count: number, what: string): Uint8Array<ArrayBuffer> {
    if (count <= WINDOW_BYTES) {
      const at = this.#take(count, what)
      return Uint8Array.prototype.slice.call(this.#window, at, at + count) as Uint8Array<ArrayBuffer>
    }
    this.#check(count, what)
    const copy = readRange(this.#fd, this.#offset, count)
    this.#offset += count
    return copy
  }

  /** A string behind its 64-bit length; its bytes when they are not UTF-8, so that only who needs the text refuses it. */
  text (limit: number, what: string): string | Uint8Array {
    const start = this.#offset
    const length = this.u64(what)
    if (length > BigInt(this.left)) {
      throw new MalformedModelError(`file of ${this.size} bytes ends inside ${what}: the string of ${length} bytes at byte ${start} does not fit`)
    }
    if (length > BigInt(limit)) {
      throw new MalformedModelError(`${what}: string of ${length} bytes at byte ${start}, limit ${limit}`)
    }
    const bytes = Number(length)
    if (bytes > WINDOW_BYTES) return decode(this.bytes(bytes, what))
    const at = this.#take(bytes, what)
    return decode(this.#window.subarray(at, at + bytes))
  }

  #check (count: number, what: string): void {
    if (count > this.left) throw new MalformedModelError(`file of ${this.size} bytes ends inside ${what}, at byte ${this.#offset}`)
  }

  /** Makes the next `count` bytes part of the window, steps over them and returns where in the window they start. */
  #take (count: number, what: string): number {
    this.#check(count, what)
    const inside = this.#offset - this.#windowStart
    if (inside + count > this.#window.length) {
      this.#windowStart = this.#offset
      const length = Math.min(WINDOW_BYTES, this.left)
      this.#window = Buffer.from(readRange(this.#fd, this.#offset, length).buffer)
    }
    const at = this.#offset - this.#windowStart
    this.#offset += count
    return at
  }
}

function decode (bytes: Uint8Array): string | Uint8Array {
  try {
    return UTF8.decode(bytes)
  } catch {
    return Uint8Array.from(bytes)
  }
}

/**
 * Exactly `count` bytes from `start` of an open file; the caller has compared them with the file's size.
 * @throws MalformedModelError when the file has become shorter since
 */
export function readRange (fd: number, start: number, count: number): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(count)
  for (let done = 0; done < count;) {
    // The kernel moves at most 2 GiB in one call.
    const got = readSync(fd, bytes, done, Math.min(count - done, 1 << 30), start + done)
    if (got === 0) throw new MalformedModelError(`file ended at byte ${start + done} while it was read`)
    done += got
  }
  return bytes
}
