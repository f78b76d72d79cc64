/**
 * The KV cache: for each layer and part (keys, values) one array [slots, KH, T, D]. A slot is one sequence; active
 * rows stay in slots 0 .. n-1, because n consecutive slots are the batch of a step.
 */
export interface ArenaShape {
  readonly layers: number
  readonly slots: number
  /** KH */
  readonly kvHeads: number
  /** T */
  readonly positions: number
  /** D */
  readonly headSize: number
}

/** Numbers of one slot of one part. */
export function slotLength (shape: ArenaShape): number {
  return shape.kvHeads * shape.positions * shape.headSize
}

export function arenaBytes (shape: ArenaShape): number {
  return shape.layers * 2 * shape.slots * slotLength(shape) * Float32Array.BYTES_PER_ELEMENT
}

/** Numbers of a prefix of `length` positions: [layers, 2, KH, length, D]. */
export function prefixLength (shape: ArenaShape, length: number): number {
  return shape.layers * 2 * shape.kvHeads * length * shape.headSize
}

export class Arena {
  readonly shape: ArenaShape
  /** Part 2l holds the keys of layer l, part 2l+1 its values. */
  readonly parts: readonly Float32Array[]

  constructor (shape: ArenaShape, parts: readonly Float32Array[]) {
    if (parts.length !== shape.layers * 2 || parts.some(part => part.length !== shape.slots * slotLength(shape))) {
      throw new Error('internal: the arena memory does not have the arena shape')
    }
    this.shape = shape
    this.parts = parts
  }

  /** Put a compiled prefix [layers, k|v, KH, P, D] at positions 0 .. P-1 of a slot. */
  write (slot: number, prefix: Float32Array, length: number): void {
    this.#check(slot, length)
    if (prefix.length !== prefixLength(this.shape, length)) throw new Error(`internal: a prefix of ${prefix.length} numbers for ${length} positions`)
    this.#eachHead(slot, length, (part, offset, index) => {
      const run = length * this.shape.headSize
      part.set(prefix.subarray(index * run, (index + 1) * run), offset)
    })
  }

  /** Copy positions 0 .. length-1 of a slot out, as [layers, k|v, KH, length, D]. */
  read (slot: number, length: number): Float32Array {
    this.#check(slot, length)
    const prefix = new Float32Array(prefixLength(this.shape, length))
    this.#eachHead(slot, length, (part, offset, index) => {
      const run = length * this.shape.headSize
      prefix.set(part.subarray(offset, offset + run), index * run)
    })
    return prefix
  }

  /** Copy positions start .. length-1 from one slot to another. */
  move (from: number, to: number, length: number, start = 0): void {
    this.#check(from, length)
    this.#check(to, length)
    this.#check(from, start)
    const distance = (to - from) * slotLength(this.shape)
    this.#eachHead(from, length, (part, offset) => {
      part.copyWithin(offset + distance + start * this.shape.headSize, offset + start * this.shape.headSize, offset + length * this.shape.headSize)
    })
  }

  /** Positions 0 .. length-1 of two slots change places. */
  exchange (a: number, b: number, length: number): void {
    this.#check(a, length)
    this.#check(b, length)
    const distance = (b - a) * slotLength(this.shape)
    const run = length * this.shape.headSize
    const kept = new Float32Array(run)
    this.#eachHead(a, length, (part, offset) => {
      kept.set(part.subarray(offset, offset + run))
      part.copyWithin(offset, offset + distance, offset + distance + run)
      part.set(kept, offset + distance)
    })
  }

  /** Zero positions 0 .. length-1: what a sequence leaves behind must not reach a later one, not even as 0 · NaN. */
  clear (slot: number, length: number): void {
    this.#check(slot, length)
    this.#eachHead(slot, length, (part, offset) => { part.fill(0, offset, offset + length * this.shape.headSize) })
  }

  #check (slot: number, length: number): void {
    const { slots, positions } = this.shape
    if (!Number.isInteger(slot) || slot < 0 || slot >= slots) throw new Error(`internal: slot ${slot} of ${slots}`)
    if (!Number.isInteger(length) || length < 0 || length > positions) throw new Error(`internal: ${length} positions in a slot of ${positions}`)
  }

  /** `index` counts heads over all parts: the row of a prefix seen as [layers · 2 · KH, length · D]. */
  #eachHead (slot: number, length: number, visit: (part: Float32Array, offset: number, index: number) => void): void {
    if (length === 0) return
    const { kvHeads, positions, headSize } = this.shape
    for (const [number, part] of this.parts.entries()) {
      for (let head = 0; head < kvHeads; head++) {
        visit(part, slot * slotLength(this.shape) + head * positions * headSize, number * kvHeads + head)
      }
    }
  }
}
