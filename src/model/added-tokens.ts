import type { AddedTokenJson } from './tokenizer-vocabulary.js'

/** A stretch of ordinary text, or one added token. */
export type Section = string | { readonly id: number }

interface Node { readonly next: Map<string, Node>, token: AddedTokenJson | null }

// Rust's White_Space, not JavaScript's \s: without U+FEFF, with U+0085.
const SPACE = /^\p{White_Space}$/u
const WORD = /^[\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\p{Join_Control}]$/u

/**
 * Finds added tokens in a text, the leftmost first and of those the longest, with the options of Hugging Face's
 * tokenizers: `lstrip` and `rstrip` swallow the spaces beside a token, `single_word` lets it be text inside a word.
 */
export class AddedTokens {
  readonly #root: Node = { next: new Map(), token: null }

  /** `contentOf` gives the text that stands for a token (its normalised form, where the text is normalised). */
  constructor (tokens: readonly AddedTokenJson[], contentOf: (token: AddedTokenJson) => string = token => token.content) {
    for (const token of tokens) {
      const content = contentOf(token)
      if (content === '') continue
      let node = this.#root
      for (const unit of content.split('')) {
        let next = node.next.get(unit)
        if (next === undefined) node.next.set(unit, next = { next: new Map(), token: null })
        node = next
      }
      node.token = token
    }
  }

  /** The text cut at added tokens; no empty stretches. */
  split (text: string): Section[] {
    if (this.#root.next.size === 0) return text === '' ? [] : [text]
    const sections: Section[] = []
    let start = 0 // of the ordinary text that is not yet in a section
    for (let at = 0; at < text.length;) {
      const match = this.#longestAt(text, at)
      if (match === null) {
        at++
        continue
      }
      const { token, end } = match
      if (token.single_word && (isWord(characterBefore(text, at)) || isWord(characterAfter(text, end)))) {
        at = end
        continue
      }
      let from = at
      let to = end
      if (token.lstrip) while (from > start && SPACE.test(text[from - 1]!)) from--
      if (token.rstrip) while (to < text.length && SPACE.test(text[to]!)) to++
      if (from > start) sections.push(text.slice(start, from))
      sections.push({ id: token.id })
      // The spaces that a token swallows are still looked at for the next one.
      at = end
      start = to
    }
    if (start < text.length) sections.push(text.slice(start))
    return sections
  }

  #longestAt (text: string, start: number): { token: AddedTokenJson, end: number } | null {
    let longest: { token: AddedTokenJson, end: number } | null = null
    let node: Node | undefined = this.#root
    for (let at = start; at < text.length; at++) {
      node = node.next.get(text[at]!)
      if (node === undefined) break
      if (node.token !== null) longest = { token: node.token, end: at + 1 }
    }
    return longest
  }
}

function characterBefore (text: string, at: number): string {
  return Array.from(text.slice(Math.max(0, at - 2), at)).at(-1) ?? ''
}

function characterAfter (text: string, at: number): string {
  return Array.from(text.slice(at, at + 2))[0] ?? ''
}

function isWord (character: string): boolean {
  return WORD.test(character)
}
