/**
 * Which tokens may come next in a text that an automaton follows: walks the vocabulary once for each state that occurs
 * and remembers the last ones. A token is allowed when the text can still be completed behind it with tokens of one
 * byte, so there is always a next token or an end.
 */
import { type Automaton, completable, DEAD } from '../constraint/automaton.js'
import { refusedOutput } from '../constraint/output.js'
import type { TokenBytes } from '../model/token-bytes.js'
import { type TokenTrie, tokenTrie } from './token-trie.js'

/** Of one automaton; 6 KB each with a vocabulary of 49,152. */
export const MASKS_KEPT = 128

/** What masks need of a base. */
export interface Vocabulary {
  readonly size: number
  readonly tokens: TokenBytes
  readonly first: TokenTrie
  readonly later: TokenTrie
  /** [256] 1: there is a token of this byte alone. */
  readonly singleBytes: Uint8Array
}

export function vocabularyOf (tokens: TokenBytes, size: number): Vocabulary {
  const singleBytes = new Uint8Array(256)
  for (const bytes of tokens.later) if (bytes?.length === 1) singleBytes[bytes[0]!] = 1
  const later = tokenTrie(tokens.later)
  const same = tokens.first.every((bytes, id) => bytes === tokens.later[id])
  return { size, tokens, first: same ? later : tokenTrie(tokens.first), later, singleBytes }
}

export class TokenMasks {
  readonly #automaton: Automaton
  readonly #vocabulary: Vocabulary
  readonly #live: Uint8Array
  /** [states] 1: the text may go on. */
  readonly #open: Uint8Array
  /** By state, and -1 for the first token; least recently used first. */
  readonly #masks = new Map<number, Uint32Array>()

  /** @throws ServiceError `invalid_request` when the base has no tokens for it */
  constructor (automaton: Automaton, vocabulary: Vocabulary) {
    this.#automaton = automaton
    this.#vocabulary = vocabulary
    this.#live = completable(automaton, vocabulary.singleBytes)
    this.#open = new Uint8Array(this.#live.length)
    for (const [index, target] of automaton.table.entries()) if (target !== DEAD && this.#live[target] === 1) this.#open[Math.floor(index / automaton.numClasses)] = 1
    if (!this.mayEnd(0) && this.of(0, true).every(bits => bits === 0)) throw refusedOutput('', 'the base has no tokens to write it with')
  }

  get bytes (): number {
    const { table, classes } = this.#automaton
    return table.byteLength + classes.byteLength + 3 * this.#live.length + Math.min(MASKS_KEPT, this.#live.length + 1) * Math.ceil(this.#vocabulary.size / 8)
  }

  mayEnd (state: number): boolean {
    return this.#automaton.accepting[state] === 1
  }

  mayGoOn (state: number): boolean {
    return this.#open[state] === 1
  }

  /** @returns the state behind a token that the mask of `state` allows */
  behind (state: number, id: number, isFirst: boolean): number {
    const { classes, numClasses, table } = this.#automaton
    const { first, later } = this.#vocabulary.tokens
    let at = state
    for (const byte of (isFirst ? first : later)[id]!) at = table[at * numClasses + classes[byte]!]!
    return at
  }

  /** [vocabulary / 32] a bit for each token that may come; valid while it is used at once. */
  of (state: number, isFirst: boolean): Uint32Array {
    const key = isFirst ? -1 : state
    const mask = this.#masks.get(key) ?? this.#walk(state, isFirst ? this.#vocabulary.first : this.#vocabulary.later)
    this.#masks.delete(key)
    this.#masks.set(key, mask)
    if (this.#masks.size > MASKS_KEPT) this.#masks.delete(this.#masks.keys().next().value!)
    return mask
  }

  #walk (state: number, { bytes, depths, skip, tokenStart, ids, maxDepth }: TokenTrie): Uint32Array {
    const { classes, numClasses, table } = this.#automaton
    const live = this.#live
    const mask = new Uint32Array(Math.ceil(this.#vocabulary.size / 32))
    const path = new Uint16Array(maxDepth + 1)
    path[0] = state
    for (let node = 0; node < bytes.length;) {
      const depth = depths[node]!
      const target = table[path[depth - 1]! * numClasses + classes[bytes[node]!]!]!
      if (target === DEAD) {
        node = skip[node]!
        continue
      }
      path[depth] = target
      if (live[target] === 1) {
        for (let index = tokenStart[node]!; index < tokenStart[node + 1]!; index++) mask[ids[index]! >>> 5]! |= 1 << (ids[index]! & 31)
      }
      node++
    }
    return mask
  }
}
