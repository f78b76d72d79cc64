/** Memory that never moves and that no garbage collector frees: what ONNX Runtime keeps pointers into. Linux. */
import { koffi } from './koffi.js'

const HUGE_PAGE = 2 * 1024 * 1024
const PROT_READ_WRITE = 0x1 | 0x2
const MAP_PRIVATE_ANONYMOUS = 0x02 | 0x20
const MADV_DONTNEED = 4
const MADV_HUGEPAGE = 14
const SC_PAGESIZE = 30
const MAP_FAILED = 0xffff_ffff_ffff_ffffn

const libc = koffi.load('libc.so.6')
const mmap = libc.func('void *mmap(void *address, size_t length, int protection, int flags, int file, int64_t offset)') as (address: null, length: number, protection: number, flags: number, file: number, offset: number) => bigint
const madvise = libc.func('int madvise(void *address, size_t length, int advice)') as (address: bigint, length: number, advice: number) => number
const munmap = libc.func('int munmap(void *address, size_t length)') as (address: bigint, length: number) => number
const sysconf = libc.func('long sysconf(int name)') as (name: number) => number

const PAGE = sysconf(SC_PAGESIZE)

export class NativeMemory {
  readonly pointer: bigint
  readonly bytes: number
  readonly #mapped: number
  /** What it is mapped by: a part of a huge page cannot go back without breaking the page up. */
  readonly #unit: number

  /** Zeroed; a page costs nothing until it is touched. @throws Error when the system has no room. */
  constructor (bytes: number) {
    const unit = bytes > HUGE_PAGE / 2 ? HUGE_PAGE : PAGE
    this.bytes = bytes
    this.#unit = unit
    this.#mapped = Math.max(1, Math.ceil(bytes / unit)) * unit
    this.pointer = mmap(null, this.#mapped, PROT_READ_WRITE, MAP_PRIVATE_ANONYMOUS, -1, 0)
    if (this.pointer === MAP_FAILED || !this.pointer) throw new Error(`cannot map ${this.#mapped} bytes of memory`)
    // A slot takes all of its memory at its first token this way, and 16 rows decode 4 to 5 % faster: with small pages
    // the keys and values of a step are found by some ten thousand translations. A kernel without huge pages refuses.
    if (unit === HUGE_PAGE) madvise(this.pointer, this.#mapped, MADV_HUGEPAGE)
  }

  /** @param offset, bytes multiples of 4 */
  floats (offset: number, length: number): Float32Array {
    return new Float32Array(this.#view(offset, length * 4))
  }

  ints (offset: number, length: number): Int32Array {
    return new Int32Array(this.#view(offset, length * 4))
  }

  /** The whole pages among these bytes go back to the system; they read as zeros, and cost nothing until they are touched. */
  giveBack (offset: number, bytes: number): void {
    this.#check(offset, bytes)
    const start = Number(this.pointer) + offset
    const first = Math.ceil(start / this.#unit) * this.#unit
    const end = Math.floor((start + bytes) / this.#unit) * this.#unit
    if (first < end) madvise(BigInt(first), end - first, MADV_DONTNEED)
  }

  /** Every view is dead afterwards: reading one reads unmapped memory. */
  release (): void {
    munmap(this.pointer, this.#mapped)
  }

  #view (offset: number, bytes: number): ArrayBuffer {
    this.#check(offset, bytes)
    return koffi.view(this.pointer + BigInt(offset), bytes)
  }

  #check (offset: number, bytes: number): void {
    if (offset < 0 || bytes < 0 || offset + bytes > this.bytes) throw new Error(`internal: bytes ${offset} to ${offset + bytes} of ${this.bytes}`)
  }
}

/** Where each region of a block begins, in this order, on lines of the cache; and where the block ends. */
export function laidOut<R extends string> (regions: readonly R[], bytes: Readonly<Record<R, number>>): { readonly offsets: Readonly<Record<R, number>>, readonly end: number } {
  const offsets: Record<R, number> = { ...bytes }
  let end = 0
  for (const region of regions) {
    offsets[region] = end
    end = Math.ceil((end + bytes[region]) / 64) * 64
  }
  return { offsets, end }
}
