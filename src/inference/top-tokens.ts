import { bestFirst } from './best-first.js'

/** Beyond this, sorting all is faster than keeping the best. */
const MAX_HEAP = 256

/**
 * The `count` largest scores, best first, equal ones by lower id. Of few, one pass with a bounded heap, so that a few of a
 * large vocabulary cost about one comparison for each entry.
 */
export function topTokens (scores: Float32Array, count: number): number[] {
  const size = Math.min(count, scores.length)
  if (size === 0) return []
  if (size > MAX_HEAP) return bestFirst(scores, Uint32Array.from(scores.keys())).slice(0, size)
  // A heap whose root is the worst kept entry.
  const heap: number[] = []
  const worse = (a: number, b: number): boolean => scores[a]! < scores[b]! || (scores[a] === scores[b] && a > b)
  for (let id = 0; id < scores.length; id++) {
    if (heap.length < size) {
      heap.push(id)
      siftUp(heap, worse)
    } else if (scores[id]! > scores[heap[0]!]!) {
      heap[0] = id
      siftDown(heap, worse)
    }
  }
  return heap.sort((a, b) => scores[b]! - scores[a]! || a - b)
}

function siftUp (heap: number[], worse: (a: number, b: number) => boolean): void {
  let child = heap.length - 1
  while (child > 0) {
    const parent = (child - 1) >> 1
    if (!worse(heap[child]!, heap[parent]!)) return
    swap(heap, child, parent)
    child = parent
  }
}

function siftDown (heap: number[], worse: (a: number, b: number) => boolean): void {
  let parent = 0
  for (;;) {
    let child = parent * 2 + 1
    if (child >= heap.length) return
    if (child + 1 < heap.length && worse(heap[child + 1]!, heap[child]!)) child++
    if (!worse(heap[child]!, heap[parent]!)) return
    swap(heap, child, parent)
    parent = child
  }
}

function swap (heap: number[], a: number, b: number): void {
  const kept = heap[a]!
  heap[a] = heap[b]!
  heap[b] = kept
}
