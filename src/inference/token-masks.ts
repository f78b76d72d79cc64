/**
 * Which tokens may come next in a text that an automaton follows: walks the vocabulary once for each state that occurs
 * and remembers the last ones. A token is allowed when the text can still be completed behind it with tokens of one
 * byte, so there is always a next token or an end.
 */
import { type Automaton, type Completion, DEAD } from '../constraint/automaton.js'
import type { CompiledOutput } from '../constraint/compile.js'
import { refusedOutput } from '../constraint/output.js'
import type { TokenTrie } from './token-trie.js'
import type { Vocabulary } from './vocabulary.js'

/** Of one automaton; 6 KB each with a vocabulary of 49,152. */
export const MASKS_KEPT = 128

export class TokenMasks {
  readonly #automaton: Automaton
  readonly #vocabulary: Vocabulary
  readonly #completion: Completion
  /** By state, and -1 for the first token; least recently used first. */
  readonly #masks = new Map<number, Uint32Array>()

  /** @param compiled for the single bytes of the vocabulary @throws ServiceError `invalid_request` when no token can be the first */
  constructor ({ automaton, completion }: CompiledOutput, vocabulary: Vocabulary) {
    this.#automaton = automaton
    this.#completion = completion
    this.#vocabulary = vocabulary
    if (!this.mayEnd(0) && this.of(0, true).every(bits => bits === 0)) throw refusedOutput('', 'the base has no tokens to write it with')
  }

  get bytes (): number {
    const { table, classes, accepting } = this.#automaton
    return table.byteLength + classes.byteLength + 3 * accepting.length + Math.min(MASKS_KEPT, accepting.length + 1) * Math.ceil(this.#vocabulary.size / 8)
  }

  mayEnd (state: number): boolean {
    return this.#automaton.accepting[state] === 1
  }

  mayGoOn (state: number): boolean {
    return this.#completion.open[state] === 1
  }

  /** @returns the state behind a token that the mask of `state` allows */
  behind (state: number, id: number, isFirst: boolean): number {
    const { classes, numClasses, table } = this.#automaton
    const { starts, bytes } = isFirst ? this.#vocabulary.first : this.#vocabulary.later
    let at = state
    for (let index = starts[id]!; index < starts[id + 1]!; index++) at = table[at * numClasses + classes[bytes[index]!]!]!
    return at
  }

  /** [vocabulary / 32] a bit for each token that may come; valid while it is used at once. */
  of (state: number, isFirst: boolean): Uint32Array {
    const key = isFirst ? -1 : state
    const mask = this.#masks.get(key) ?? this.#walk(state, (isFirst ? this.#vocabulary.first : this.#vocabulary.later).trie)
    this.#masks.delete(key)
    this.#masks.set(key, mask)
    if (this.#masks.size > MASKS_KEPT) this.#masks.delete(this.#masks.keys().next().value!)
    return mask
  }

  #walk (state: number, { bytes, depths, skip, tokenStart, ids, maxDepth }: TokenTrie): Uint32Array {
    const { classes, numClasses, table } = this.#automaton
    const { live } = this.#completion
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
