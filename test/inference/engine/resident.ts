/** What of an engine's arena is in memory. Linux. */
import { koffi } from '../../../src/inference/engine/koffi.js'
import type { Arena } from '../../../src/inference/arena.js'

const PAGE = 4096
const libc = koffi.load('libc.so.6')
const mincore = libc.func('int mincore(void *address, size_t length, _Out_ uint8_t *vector)') as (address: bigint, length: number, vector: Uint8Array) => number

/** Resident bytes of the arena, to a page. @param arena of the C API's engine: its parts lie one behind the other */
export function residentBytes ({ parts }: Arena): number {
  const address = koffi.address(parts[0]!)
  const length = parts.reduce((total, part) => total + part.byteLength, 0)
  const vector = new Uint8Array(Math.ceil(length / PAGE))
  if (mincore(address, length, vector) !== 0) throw new Error('mincore(2) failed')
  return vector.reduce((pages, state) => pages + (state & 1), 0) * PAGE
}
