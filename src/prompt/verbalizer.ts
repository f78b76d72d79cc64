/** Which token stands for which label. */
import { ServiceError } from '../errors.js'
import type { Tokenizer } from '../model/tokenizer.js'
import type { Label } from './task-spec.js'

const MAX_LABELS = 1000
const MAX_LABEL_LENGTH = 200
// Some text in front, so that a tokenizer that marks the start of a text does not mark the label.
const BEFORE = 'Label:'

/**
 * One token for each label, different for all of them: the first token of " " + label; when another label has it, the
 * first token of a later word of the label that is free; else a free one-token letter or number. Every label gets its
 * first token before any gets another, always in the order of the labels, so equal labels give equal tokens.
 * @param names repeated ones count once
 * @throws ServiceError invalid_request at `labels/INDEX`; one_label when fewer than two remain
 */
export function chooseLabels (names: readonly string[], tokenizer: Tokenizer): Label[] {
  const distinct = checkNames(names)
  const taken = new Set<number>()
  const chosen = new Map<string, number>()
  const choose = (name: string, candidates: ReadonlyArray<number | undefined>): void => {
    if (chosen.has(name)) return
    for (const id of candidates) {
      if (id === undefined || taken.has(id)) continue
      taken.add(id)
      chosen.set(name, id)
      return
    }
  }
  for (const name of distinct) choose(name, [continuation(name, tokenizer)[0]])
  for (const name of distinct) choose(name, [...laterWords(name).map(word => continuation(word, tokenizer)[0]), onlyToken(name, tokenizer)])
  const spare = spareTokens(tokenizer, taken)
  for (const name of distinct) if (!chosen.has(name)) choose(name, [spare.next().value])
  return distinct.map(name => {
    const tokenId = chosen.get(name)
    if (tokenId === undefined) throw new ServiceError('invalid_request', `the tokenizer has no token left for label ${JSON.stringify(name)}`, { param: 'labels' })
    return { name, tokenId, piece: tokenizer.piece(tokenId), tokenIds: continuation(name, tokenizer) }
  })
}

function checkNames (names: readonly string[]): string[] {
  for (const [i, name] of names.entries()) {
    const refuse = (reason: string): never => { throw new ServiceError('invalid_request', `label ${i + 1} ${reason}`, { param: `labels/${i}` }) }
    if (name.trim() === '') refuse('is blank')
    if (name !== name.trim()) refuse('begins or ends with a space')
    if (name.length > MAX_LABEL_LENGTH) refuse(`is ${name.length} characters long, limit ${MAX_LABEL_LENGTH}`)
    // A line separator is no control character to Unicode; a pattern's dot stops at it all the same.
    if (/[\p{Cc}\p{Cs}\p{Zl}\p{Zp}]/u.test(name)) refuse('holds control characters or line separators')
  }
  const distinct = [...new Set(names)]
  if (distinct.length < 2) throw new ServiceError('one_label', `a classification task needs at least two labels, found ${distinct.length}`, { param: 'labels' })
  if (distinct.length > MAX_LABELS) throw new ServiceError('invalid_request', `${distinct.length} labels, limit ${MAX_LABELS}`, { param: 'labels' })
  return distinct
}

/** Tokens of " " + word as they follow a text. */
function continuation (word: string, tokenizer: Tokenizer): number[] {
  const before = tokenizer.encode(BEFORE, { addSpecial: false })
  const joined = tokenizer.encode(`${BEFORE} ${word}`, { addSpecial: false })
  return before.every((id, i) => joined[i] === id) && joined.length > before.length
    ? joined.slice(before.length)
    : tokenizer.encode(` ${word}`, { addSpecial: false })
}

/** A label that is itself a letter or number keeps it, where the tokenizer sets the space before it apart. */
function onlyToken (name: string, tokenizer: Tokenizer): number | undefined {
  const ids = /^[\p{L}\p{N}]+$/u.test(name) ? tokenizer.encode(name, { addSpecial: false }) : []
  return ids.length === 1 ? ids[0] : undefined
}

/** `SearchScreeningEvent`, `card_arrival`, `not at all`: the words after the first. */
function laterWords (name: string): string[] {
  return (name.match(/\p{Lu}+(?!\p{Ll})|\p{Lu}?[\p{Ll}\p{Lo}\p{M}]+|\p{N}+/gu) ?? []).slice(1)
}

const LETTERS = Array.from('ABCDEFGHIJKLMNOPQRSTUVWXYZ')

/** One-token letters and numbers, then (vocabularies are small where labels are many) every token that is a word. */
function * spareTokens (tokenizer: Tokenizer, taken: ReadonlySet<number>): Generator<number, undefined> {
  for (const text of [...LETTERS, ...LETTERS.map(letter => letter.toLowerCase()), ...Array.from({ length: 1000 }, (_, number) => String(number))]) {
    const ids = continuation(text, tokenizer)
    const bare = tokenizer.encode(text, { addSpecial: false })
    if (ids.length === 1 && !taken.has(ids[0]!)) yield ids[0]!
    if (bare.length === 1 && !taken.has(bare[0]!)) yield bare[0]!
  }
  for (let id = 0; id < tokenizer.vocabSize; id++) {
    if (!taken.has(id) && /^ ?[\p{L}\p{N}]+$/u.test(tokenizer.piece(id))) yield id
  }
}
