/** A grammar as states that read bytes (K. Thompson, Regular expression search algorithm, 1968); the first step to a table. */
import { type ByteRange, utf8Of } from './characters.js'
import type { Grammar } from './grammar.js'

export const MAX_STATES = 60_000
/** Of the recursion over a grammar; the readers of schemas and patterns end long before. */
const MAX_DEPTH = 2000

export interface ByteEdge { readonly from: number, readonly to: number, readonly target: number }

export interface Nfa {
  /** Index = state; 0 is the start. */
  readonly edges: readonly ByteEdge[][]
  /** States reached without a byte. */
  readonly free: readonly number[][]
  readonly end: number
}

/** A grammar that needs more than there may be. */
export class TooLarge extends Error { override readonly name = 'TooLarge' }

/** @throws TooLarge */
export function nfaOf (grammar: Grammar): Nfa {
  const builder = new Builder()
  const start = builder.state()
  const end = builder.add(grammar, start, 0)
  return { edges: builder.edges, free: builder.free, end }
}

class Builder {
  readonly edges: ByteEdge[][] = []
  readonly free: number[][] = []

  state (): number {
    if (this.edges.length === MAX_STATES) throw new TooLarge(`it needs more than ${MAX_STATES} states`)
    this.free.push([])
    return this.edges.push([]) - 1
  }

  /** @returns the state behind the grammar; always a new one, so that repetition without an end is bounded too */
  add (grammar: Grammar, from: number, depth: number): number {
    if (depth > MAX_DEPTH) throw new TooLarge('it is nested too deeply')
    switch (grammar.kind) {
      case 'text': return this.#bytes(Buffer.from(grammar.text), this.#behind(from))
      case 'character': return this.#character(utf8Of(grammar.of), from)
      case 'sequence': return grammar.parts.reduce((at, part) => this.add(part, at, depth + 1), this.#behind(from))
      case 'either': {
        const end = this.state()
        for (const option of grammar.options) this.free[this.add(option, this.#behind(from), depth + 1)]!.push(end)
        return end
      }
      case 'repeat': return this.#repeat(grammar, from, depth)
      case 'listed': return this.#listed(grammar, from, depth)
    }
  }

  #behind (from: number): number {
    const state = this.state()
    this.free[from]!.push(state)
    return state
  }

  #edge (source: number, [from, to]: ByteRange, target: number): void {
    this.edges[source]!.push({ from, to, target })
  }

  #bytes (bytes: Uint8Array, from: number): number {
    return bytes.reduce((at, byte) => {
      const next = this.state()
      this.#edge(at, [byte, byte], next)
      return next
    }, from)
  }

  /** Equal ends of sequences are one, so that a large set takes few states. */
  #character (sequences: readonly ByteRange[][], from: number): number {
    const end = this.state()
    const before = new Map<string, number>()
    for (const sequence of sequences) {
      let target = end
      let rest = ''
      for (let index = sequence.length - 1; index > 0; index--) {
        rest = `${sequence[index]!.join('-')} ${rest}`
        let state = before.get(rest)
        if (state === undefined) {
          state = this.state()
          this.#edge(state, sequence[index]!, target)
          before.set(rest, state)
        }
        target = state
      }
      this.#edge(from, sequence[0]!, target)
    }
    return end
  }

  #repeat ({ part, least, most }: Extract<Grammar, { kind: 'repeat' }>, from: number, depth: number): number {
    let at = this.#behind(from)
    for (let count = 0; count < least; count++) at = this.add(part, at, depth + 1)
    const end = this.state()
    if (most === null) {
      // A state of its own to come back to: nothing before it leads in from elsewhere.
      const again = this.#behind(at)
      this.free[this.add(part, again, depth + 1)]!.push(again)
      this.free[again]!.push(end)
      return end
    }
    for (let count = least; count < most; count++) {
      this.free[at]!.push(end)
      at = this.add(part, this.#behind(at), depth + 1)
    }
    this.free[at]!.push(end)
    return end
  }

  /** Two rails: one on which nothing is written yet, and one on which a separator comes before the next item. */
  #listed ({ items, separator }: Extract<Grammar, { kind: 'listed' }>, from: number, depth: number): number {
    let first: number | null = this.#behind(from)
    let later = this.state()
    for (const { part, optional } of items) {
      const item = this.state()
      if (first !== null) this.free[first]!.push(item)
      this.free[this.add(separator, later, depth + 1)]!.push(item)
      const written = this.add(part, item, depth + 1)
      if (optional) this.free[later]!.push(written)
      else first = null
      later = written
    }
    if (first !== null) this.free[first]!.push(later)
    return later
  }
}
