/** Values by digest within a bound of bytes. A digest names bytes, never a name a client chose, so none can be stale. */
import type { Digest } from '../digest.js'

export interface Pinned<Value> {
  readonly value: Value
  /** It may be evicted again. Releasing twice is harmless. */
  release (): void
}

interface Entry<Value> { readonly value: Value, readonly bytes: number, readonly guest: boolean, pins: number }

/** Values of less right take this part of the bound at most: beyond it they push out each other. */
const GUESTS = 0.5

export class BoundedCache<Value> {
  readonly #limit: number
  readonly #bytesOf: (value: Value) => number
  readonly #isGuest: (value: Value) => boolean
  /** Least recently used first. */
  readonly #entries = new Map<Digest, Entry<Value>>()
  #bytes = 0
  #guestBytes = 0

  /**
   * @param limit bytes; only values in use at one moment may exceed it together
   * @param isGuest those of less right
   */
  constructor (limit: number, bytesOf: (value: Value) => number, isGuest: (value: Value) => boolean = () => false) {
    this.#limit = limit
    this.#bytesOf = bytesOf
    this.#isGuest = isGuest
  }

  get size (): number { return this.#entries.size }
  get bytes (): number { return this.#bytes }

  has (digest: Digest): boolean {
    return this.#entries.has(digest)
  }

  /** Whether that many bytes fit without evicting anything. */
  hasRoom (bytes: number): boolean {
    return this.#bytes + bytes <= this.#limit
  }

  /** Most recently used from now on, and kept until it is released; null when it is not here. */
  pin (digest: Digest): Pinned<Value> | null {
    const entry = this.#entries.get(digest)
    return entry === undefined ? null : this.#pin(digest, entry)
  }

  /** As `pin`; kept as the value of this digest if there is none. */
  add (digest: Digest, value: Value): Pinned<Value> {
    const known = this.#entries.get(digest)
    if (known !== undefined) return this.#pin(digest, known)
    const entry = { value, bytes: this.#bytesOf(value), guest: this.#isGuest(value), pins: 0 }
    this.#count(entry, 1)
    const pinned = this.#pin(digest, entry)
    this.#evict()
    return pinned
  }

  #pin (digest: Digest, entry: Entry<Value>): Pinned<Value> {
    entry.pins++
    this.#entries.delete(digest)
    this.#entries.set(digest, entry)
    let held = true
    return {
      value: entry.value,
      release: () => {
        if (!held) return
        held = false
        entry.pins--
        this.#evict()
      }
    }
  }

  #evict (): void {
    this.#evictWhile(() => this.#guestBytes > GUESTS * this.#limit, ({ guest }) => guest)
    this.#evictWhile(() => this.#bytes > this.#limit, () => true)
  }

  #evictWhile (tooMany: () => boolean, mayLeave: (entry: Entry<Value>) => boolean): void {
    if (!tooMany()) return
    for (const [digest, entry] of this.#entries) {
      if (entry.pins > 0 || !mayLeave(entry)) continue
      this.#entries.delete(digest)
      this.#count(entry, -1)
      if (!tooMany()) return
    }
  }

  #count ({ bytes, guest }: Entry<Value>, sign: 1 | -1): void {
    this.#bytes += sign * bytes
    if (guest) this.#guestBytes += sign * bytes
  }
}
