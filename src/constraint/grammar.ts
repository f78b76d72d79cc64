/** Texts that an answer may be: what schemas, choices and regular expressions have in common. Regular, so that it becomes a table. */
import type { Characters } from './characters.js'

export type Grammar =
  | { readonly kind: 'text', readonly text: string }
  /** One of them. */
  | { readonly kind: 'character', readonly of: Characters }
  | { readonly kind: 'sequence', readonly parts: readonly Grammar[] }
  /** At least one option. */
  | { readonly kind: 'either', readonly options: readonly Grammar[] }
  /** `most` null: any number. */
  | { readonly kind: 'repeat', readonly part: Grammar, readonly least: number, readonly most: number | null }
  /** In this order, with the separator between those that are there. */
  | { readonly kind: 'listed', readonly items: ReadonlyArray<{ readonly part: Grammar, readonly optional: boolean }>, readonly separator: Grammar }

export function text (value: string): Grammar {
  return { kind: 'text', text: value }
}

export function character (of: Characters): Grammar {
  return { kind: 'character', of }
}

export function sequence (...parts: readonly Grammar[]): Grammar {
  return parts.length === 1 ? parts[0]! : { kind: 'sequence', parts }
}

export function either (...options: readonly Grammar[]): Grammar {
  return options.length === 1 ? options[0]! : { kind: 'either', options }
}

export function repeat (part: Grammar, least: number, most: number | null): Grammar {
  return { kind: 'repeat', part, least, most }
}

export function optional (part: Grammar): Grammar {
  return repeat(part, 0, 1)
}
