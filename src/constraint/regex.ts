/**
 * Regular expressions as JavaScript reads them with the flag u, without what no table of states can hold
 * (back-references) or this does not do (look-around, word borders, Unicode properties): that is refused by name.
 */
import { allBut, ANY_CHARACTER, type Characters, charactersOf, DIGITS } from './characters.js'
import { character, either, type Grammar, repeat, sequence, text } from './grammar.js'

const MAX_NESTING = 100

const LINE_ENDS = charactersOf([0x0a, 0x0a], [0x0d, 0x0d], [0x2028, 0x2029])
const WORD = charactersOf([0x30, 0x39], [0x41, 0x5a], [0x5f, 0x5f], [0x61, 0x7a])
const SPACE = charactersOf([0x09, 0x0d], [0x20, 0x20], [0xa0, 0xa0], [0x1680, 0x1680], [0x2000, 0x200a], [0x2028, 0x2029], [0x202f, 0x202f], [0x205f, 0x205f], [0x3000, 0x3000], [0xfeff, 0xfeff])
const CLASSES: Readonly<Record<string, Characters>> = { d: DIGITS, D: allBut(DIGITS), w: WORD, W: allBut(WORD), s: SPACE, S: allBut(SPACE) }
const CONTROLS: Readonly<Record<string, number>> = { t: 0x09, n: 0x0a, v: 0x0b, f: 0x0c, r: 0x0d, 0: 0 }
const GROUPS_REFUSED: ReadonlyArray<readonly [start: string, name: string]> = [['(?=', 'look-ahead'], ['(?!', 'look-ahead'], ['(?<=', 'look-behind'], ['(?<!', 'look-behind']]

/** It is not a regular expression, or has what is refused. */
export class RegexError extends Error { override readonly name = 'RegexError' }

/** The texts that match as a whole. @throws RegexError */
export function wholeMatch (pattern: string): Grammar {
  return either(...alternativesOf(pattern).map(({ part }) => part))
}

/** The texts that match somewhere, as `pattern` of a JSON schema means it. @throws RegexError */
export function matchAnywhere (pattern: string): Grammar {
  const anything = repeat(character(ANY_CHARACTER), 0, null)
  return either(...alternativesOf(pattern).map(({ part, fromStart, toEnd }) => sequence(...fromStart ? [] : [anything], part, ...toEnd ? [] : [anything])))
}

interface Alternative { readonly part: Grammar, readonly fromStart: boolean, readonly toEnd: boolean }

function alternativesOf (pattern: string): Alternative[] {
  try {
    void new RegExp(pattern, 'u')
  } catch (error) {
    throw new RegexError((error as Error).message)
  }
  return new Parser(pattern).all()
}

/** Of a pattern that JavaScript has accepted. */
class Parser {
  readonly #characters: readonly string[]
  #at = 0
  #nesting = 0

  constructor (pattern: string) {
    this.#characters = Array.from(pattern)
  }

  all (): Alternative[] {
    const alternatives: Alternative[] = []
    do {
      const fromStart = this.#take('^')
      const part = this.#terms()
      alternatives.push({ part, fromStart, toEnd: this.#take('$') })
    } while (this.#take('|'))
    if (this.#at < this.#characters.length) throw new RegexError('$ stands in the middle; it is understood at the ends of the whole and of its alternatives')
    return alternatives
  }

  #next (): string | undefined {
    return this.#characters[this.#at]
  }

  #ahead (text: string): boolean {
    return this.#characters.slice(this.#at, this.#at + text.length).join('') === text
  }

  #take (text: string): boolean {
    if (!this.#ahead(text)) return false
    this.#at += text.length
    return true
  }

  /** Up to what ends an alternative. */
  #terms (): Grammar {
    const parts: Grammar[] = []
    for (let next = this.#next(); next !== undefined && !'|)$'.includes(next); next = this.#next()) parts.push(this.#quantified(this.#atom()))
    return sequence(...parts)
  }

  #quantified (part: Grammar): Grammar {
    let counts: readonly [least: number, most: number | null]
    if (this.#take('*')) counts = [0, null]
    else if (this.#take('+')) counts = [1, null]
    else if (this.#take('?')) counts = [0, 1]
    else if (this.#take('{')) counts = this.#counts()
    else return part
    this.#take('?') // lazy or greedy, the texts are the same
    return repeat(part, ...counts)
  }

  #counts (): readonly [number, number | null] {
    const [least = '', most] = this.#until('}').split(',')
    return [Number(least), most === undefined ? Number(least) : most === '' ? null : Number(most)]
  }

  #until (end: string): string {
    const from = this.#at
    while (this.#next() !== end) this.#at++
    return this.#characters.slice(from, this.#at++).join('')
  }

  #atom (): Grammar {
    if (this.#ahead('(')) return this.#group()
    if (this.#take('[')) return character(this.#class())
    if (this.#take('.')) return character(allBut(LINE_ENDS))
    if (this.#take('^')) throw new RegexError('^ stands in the middle; it is understood at the start of the whole and of its alternatives')
    if (this.#take('\\')) {
      if (this.#next() === 'b' || this.#next() === 'B') throw new RegexError(`\\${this.#next()} (word border) is not supported`)
      const escaped = this.#escape()
      return typeof escaped === 'number' ? text(String.fromCodePoint(escaped)) : character(escaped)
    }
    return text(this.#literal())
  }

  #group (): Grammar {
    for (const [start, name] of GROUPS_REFUSED) if (this.#ahead(start)) throw new RegexError(`${start} (${name}) is not supported`)
    if (++this.#nesting > MAX_NESTING) throw new RegexError(`groups are nested deeper than ${MAX_NESTING}`)
    if (this.#take('(?<')) this.#until('>')
    else if (!this.#take('(?:') && !this.#take('(')) throw new Error('internal: no group')
    if (this.#ahead('?')) throw new RegexError('(? with flags is not supported')
    const options: Grammar[] = []
    do options.push(this.#terms())
    while (this.#take('|'))
    if (!this.#take(')')) throw new RegexError('$ stands in a group; it is understood at the ends of the whole and of its alternatives')
    this.#nesting--
    return either(...options)
  }

  #class (): Characters {
    const negated = this.#take('^')
    const ranges: Array<readonly [number, number]> = []
    while (!this.#take(']')) {
      const from = this.#classItem()
      if (typeof from !== 'number') {
        ranges.push(...from)
      } else if (this.#next() === '-' && this.#characters[this.#at + 1] !== ']') {
        this.#at++
        ranges.push([from, this.#classItem() as number])
      } else {
        ranges.push([from, from])
      }
    }
    return negated ? allBut(charactersOf(...ranges)) : charactersOf(...ranges)
  }

  #classItem (): number | Characters {
    if (!this.#take('\\')) return this.#literal().codePointAt(0)!
    if (this.#take('b')) return 0x08
    return this.#escape()
  }

  /** Behind the backslash. */
  #escape (): number | Characters {
    const letter = this.#characters[this.#at++]!
    const known = CLASSES[letter] ?? CONTROLS[letter]
    if (known !== undefined) return known
    switch (letter) {
      case 'x': return this.#hexadecimal(2)
      case 'u': return this.#take('{') ? this.#character(Number.parseInt(this.#until('}'), 16)) : this.#unicode()
      case 'p': case 'P': throw new RegexError(`\\${letter} (Unicode properties) is not supported`)
      case 'c': throw new RegexError('\\c (control characters) is not supported; write \\x and two digits')
      case 'k': throw new RegexError('\\k (a back-reference) is not supported')
      default:
        if (/[1-9]/.test(letter)) throw new RegexError(`\\${letter} (a back-reference) is not supported`)
        return letter.codePointAt(0)!
    }
  }

  #unicode (): number {
    const first = this.#hexadecimal(4)
    if (first < 0xd800 || first > 0xdbff || !this.#take('\\u')) return this.#character(first)
    return this.#character(0x10000 + (first - 0xd800) * 0x400 + (this.#hexadecimal(4) - 0xdc00))
  }

  #hexadecimal (digits: number): number {
    this.#at += digits
    return Number.parseInt(this.#characters.slice(this.#at - digits, this.#at).join(''), 16)
  }

  #literal (): string {
    const literal = this.#characters[this.#at++]!
    this.#character(literal.codePointAt(0)!)
    return literal
  }

  #character (codePoint: number): number {
    if (codePoint >= 0xd800 && codePoint <= 0xdfff) throw new RegexError('half a surrogate pair is no character')
    return codePoint
  }
}
