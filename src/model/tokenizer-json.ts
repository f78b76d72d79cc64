/**
 * `tokenizer.json` as Hugging Face's tokenizers library writes it, read as an untrusted file: of everything that the
 * format can say, what byte-pair tokenizers of the Llama family need is accepted, and the rest is refused by name.
 */
import { MalformedModelError } from '../errors.js'
import { flagAt, integerAt, listAt, objectAt, quoted, textAt } from './json-shape.js'
import { addedTokensAt, bpeModelAt, type AddedTokenJson, type BpeModelJson } from './tokenizer-vocabulary.js'
import { preTokenizerAt, type PreTokenizerJson } from './pretokenizers.js'

export type NormalizerJson =
  | { readonly type: 'NFC' | 'NFD' | 'NFKC' | 'NFKD' }
  | { readonly type: 'Prepend', readonly prepend: string }
  | { readonly type: 'Replace', readonly pattern: { readonly String: string }, readonly content: string }
  | { readonly type: 'Sequence', readonly normalizers: readonly NormalizerJson[] }

export type DecoderJson =
  | { readonly type: 'ByteLevel', readonly add_prefix_space: boolean, readonly trim_offsets: boolean, readonly use_regex: boolean }
  | { readonly type: 'ByteFallback' | 'Fuse' }
  | { readonly type: 'Replace', readonly pattern: { readonly String: string }, readonly content: string }
  | { readonly type: 'Strip', readonly content: string, readonly start: number, readonly stop: number }
  | { readonly type: 'Metaspace', readonly replacement: string, readonly prepend_scheme: 'always' | 'never' | 'first', readonly split: boolean }
  | { readonly type: 'Sequence', readonly decoders: readonly DecoderJson[] }

export type TemplatePieceJson =
  | { readonly SpecialToken: { readonly id: string, readonly type_id: number } }
  | { readonly Sequence: { readonly id: 'A' | 'B', readonly type_id: number } }
export type PostProcessorJson =
  | { readonly type: 'ByteLevel', readonly add_prefix_space: boolean, readonly trim_offsets: boolean, readonly use_regex: boolean }
  | {
    readonly type: 'TemplateProcessing'
    readonly single: readonly TemplatePieceJson[]
    readonly pair: readonly TemplatePieceJson[]
    readonly special_tokens: Readonly<Record<string, { readonly id: string, readonly ids: readonly number[], readonly tokens: readonly string[] }>>
  }
  | { readonly type: 'Sequence', readonly processors: readonly PostProcessorJson[] }

/** A checked tokenizer: only known fields, defaults filled in. Serialised, it is an ordinary `tokenizer.json` that checks again. */
export interface ValidTokenizerJson {
  readonly version: '1.0'
  readonly truncation: null
  readonly padding: null
  readonly added_tokens: readonly AddedTokenJson[]
  readonly normalizer: NormalizerJson | null
  readonly pre_tokenizer: PreTokenizerJson | null
  readonly post_processor: PostProcessorJson | null
  readonly decoder: DecoderJson | null
  readonly model: BpeModelJson
}

export interface TokenizerChecks {
  /** Rows of the embedding table: no id may reach it. Absent: ids must at least be dense. */
  readonly vocabSize?: number
}

// The largest in use (262 thousand entries) has 33 MB.
const MAX_FILE_BYTES = 64 * 1024 * 1024
const MAX_DEPTH = 4
const MAX_STEPS = 16
const MAX_TEXT = 256

/** @throws MalformedModelError naming the field, the token or the merge that is wrong */
export function validateTokenizerJson (source: Uint8Array | string, checks: TokenizerChecks = {}): ValidTokenizerJson {
  if (source.length === 0) throw new MalformedModelError('tokenizer.json is empty')
  if (source.length > MAX_FILE_BYTES) throw new MalformedModelError(`tokenizer.json has ${source.length} bytes, limit ${MAX_FILE_BYTES}`)
  return checkTokenizerJson(parse(typeof source === 'string' ? source : decode(source)), checks)
}

function decode (bytes: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes) // skips a byte order mark
  } catch {
    throw new MalformedModelError('tokenizer.json is not valid UTF-8')
  }
}

function parse (text: string): unknown {
  try {
    return JSON.parse(text)
  } catch (error) {
    const reason = (error as Error).message
    // Newer engines quote the text; the position is enough.
    throw new MalformedModelError(`tokenizer.json is not valid JSON (${/end of|Unterminated/.test(reason) ? 'it ends too early' : quoted(reason)})`)
  }
}

/** The checks behind `validateTokenizerJson`, for a tokenizer that was put together from another format. @throws MalformedModelError */
export function checkTokenizerJson (value: unknown, checks: TokenizerChecks = {}): ValidTokenizerJson {
  const json = objectAt(value, 'tokenizer.json')
  if (json['model'] === undefined || json['model'] === null) throw new MalformedModelError('tokenizer.json has no model section')
  const pre_tokenizer = preTokenizerAt(json['pre_tokenizer'])
  const model = bpeModelAt(json['model'])
  const added_tokens = addedTokensAt(json['added_tokens'], model.vocab, checks.vocabSize)
  const ids = new Map(added_tokens.map(token => [token.content, token.id]))
  return {
    version: '1.0', truncation: null, padding: null,
    added_tokens,
    normalizer: normalizerAt(json['normalizer']),
    pre_tokenizer,
    post_processor: postProcessorAt(json['post_processor'], name => ids.get(name) ?? (Object.hasOwn(model.vocab, name) ? model.vocab[name] : undefined)),
    decoder: decoderAt(json['decoder']),
    model
  }
}

function nested<T> (value: unknown, place: string, depth: number, read: (step: unknown, place: string, depth: number) => T | null): T[] {
  if (depth === MAX_DEPTH) throw new MalformedModelError(`${place} is nested more than ${MAX_DEPTH} levels deep`)
  return listAt(value, place, MAX_STEPS).map((step, i) => read(step, `${place}[${i}]`, depth + 1)).filter(step => step !== null)
}

function plainPattern (value: unknown, place: string): { String: string } {
  const pattern = objectAt(value, place)
  if (pattern['Regex'] !== undefined) throw new MalformedModelError(`${place}: a regular expression is not supported here`)
  const text = textAt(pattern['String'], `${place}.String`, MAX_TEXT)
  if (text === '') throw new MalformedModelError(`${place}.String is empty`)
  return { String: text }
}

function normalizerAt (value: unknown, place = 'normalizer', depth = 0): NormalizerJson | null {
  if (value === undefined || value === null) return null
  const json = objectAt(value, place)
  const type = textAt(json['type'], `${place}.type`, 100)
  switch (type) {
    case 'NFC': case 'NFD': case 'NFKC': case 'NFKD': return { type }
    case 'Prepend': return { type, prepend: textAt(json['prepend'], `${place}.prepend`, MAX_TEXT) }
    case 'Replace': return { type, pattern: plainPattern(json['pattern'], `${place}.pattern`), content: textAt(json['content'], `${place}.content`, MAX_TEXT) }
    case 'Sequence': return { type, normalizers: nested(json['normalizers'], `${place}.normalizers`, depth, normalizerAt) }
    default: throw new MalformedModelError(`normalizer type ${quoted(type)} is not supported`)
  }
}

function byteLevelAt (json: Readonly<Record<string, unknown>>, place: string): { type: 'ByteLevel', add_prefix_space: boolean, trim_offsets: boolean, use_regex: boolean } {
  return {
    type: 'ByteLevel',
    add_prefix_space: flagAt(json['add_prefix_space'], `${place}.add_prefix_space`, true),
    trim_offsets: flagAt(json['trim_offsets'], `${place}.trim_offsets`, true),
    use_regex: flagAt(json['use_regex'], `${place}.use_regex`, true)
  }
}

function decoderAt (value: unknown, place = 'decoder', depth = 0): DecoderJson | null {
  if (value === undefined || value === null) return null
  const json = objectAt(value, place)
  const type = textAt(json['type'], `${place}.type`, 100)
  switch (type) {
    case 'ByteLevel': return byteLevelAt(json, place)
    case 'ByteFallback': case 'Fuse': return { type }
    case 'Replace': return { type, pattern: plainPattern(json['pattern'], `${place}.pattern`), content: textAt(json['content'], `${place}.content`, MAX_TEXT) }
    case 'Strip': {
      const content = textAt(json['content'], `${place}.content`, 4)
      if ([...content].length !== 1) throw new MalformedModelError(`${place}.content must be one character`)
      return { type, content, start: integerAt(json['start'], `${place}.start`, 0, MAX_TEXT), stop: integerAt(json['stop'], `${place}.stop`, 0, MAX_TEXT) }
    }
    case 'Metaspace': return preTokenizerAt(json, place) as DecoderJson & { type: 'Metaspace' }
    case 'Sequence': return { type, decoders: nested(json['decoders'], `${place}.decoders`, depth, decoderAt) }
    default: throw new MalformedModelError(`decoder type ${quoted(type)} is not supported`)
  }
}

type IdOf = (token: string) => number | undefined

function postProcessorAt (value: unknown, idOf: IdOf, place = 'post_processor', depth = 0): PostProcessorJson | null {
  if (value === undefined || value === null) return null
  const json = objectAt(value, place)
  const type = textAt(json['type'], `${place}.type`, 100)
  switch (type) {
    case 'ByteLevel': return byteLevelAt(json, place)
    case 'Sequence': return { type, processors: nested(json['processors'], `${place}.processors`, depth, (step, at, level) => postProcessorAt(step, idOf, at, level)) }
    case 'TemplateProcessing': {
      const special = specialTokensAt(json['special_tokens'], idOf, `${place}.special_tokens`)
      const pieces = (list: unknown, at: string): TemplatePieceJson[] => listAt(list, at, MAX_STEPS).map((piece, i) => templatePieceAt(piece, special, `${at}[${i}]`))
      const single = pieces(json['single'], `${place}.single`)
      if (single.filter(piece => 'Sequence' in piece && piece.Sequence.id === 'A').length !== 1 || single.some(piece => 'Sequence' in piece && piece.Sequence.id === 'B')) {
        throw new MalformedModelError(`${place}.single must hold the text A once, and no B`)
      }
      return { type, single, pair: pieces(json['pair'] ?? [], `${place}.pair`), special_tokens: special }
    }
    default: throw new MalformedModelError(`post-processor type ${quoted(type)} is not supported`)
  }
}

type SpecialTokens = Record<string, { id: string, ids: number[], tokens: string[] }>

function specialTokensAt (value: unknown, idOf: IdOf, place: string): SpecialTokens {
  const entries = Object.entries(objectAt(value, place))
  if (entries.length > MAX_STEPS) throw new MalformedModelError(`${place} has ${entries.length} entries, limit ${MAX_STEPS}`)
  return Object.fromEntries(entries.map(([name, entry]) => {
    const at = `${place}[${quoted(name)}]`
    const json = objectAt(entry, at)
    const tokens = listAt(json['tokens'], `${at}.tokens`, MAX_STEPS).map(token => textAt(token, `${at}.tokens`, MAX_TEXT))
    const ids = listAt(json['ids'], `${at}.ids`, MAX_STEPS).map(id => integerAt(id, `${at}.ids`, 0, 2 ** 31 - 1))
    if (ids.length !== tokens.length) throw new MalformedModelError(`${at} has ${ids.length} ids and ${tokens.length} tokens`)
    tokens.forEach((token, i) => {
      if (idOf(token) !== ids[i]) throw new MalformedModelError(`${at}: token ${quoted(token)} has the id ${String(idOf(token) ?? 'of no token')}, not ${String(ids[i])}`)
    })
    return [name, { id: name, ids, tokens }]
  }))
}

function templatePieceAt (value: unknown, special: SpecialTokens, place: string): TemplatePieceJson {
  const json = objectAt(value, place)
  const isToken = json['SpecialToken'] !== undefined
  const piece = objectAt(isToken ? json['SpecialToken'] : json['Sequence'], place)
  const id = textAt(piece['id'], `${place}.id`, MAX_TEXT)
  const type_id = integerAt(piece['type_id'], `${place}.type_id`, 0, 255)
  if (isToken) {
    if (!Object.hasOwn(special, id)) throw new MalformedModelError(`${place} names the special token ${quoted(id)}, which special_tokens lacks`)
    return { SpecialToken: { id, type_id } }
  }
  if (id !== 'A' && id !== 'B') throw new MalformedModelError(`${place}.id must be A or B`)
  return { Sequence: { id, type_id } }
}

/** The ids that a post-processor puts before and after one text. */
export function idsAround (processor: PostProcessorJson | null): { readonly before: readonly number[], readonly after: readonly number[] } {
  switch (processor?.type) {
    case undefined: case 'ByteLevel': return { before: [], after: [] }
    case 'Sequence': {
      const parts = processor.processors.map(idsAround)
      // A later processor wraps what the earlier ones made.
      return { before: parts.toReversed().flatMap(part => part.before), after: parts.flatMap(part => part.after) }
    }
    case 'TemplateProcessing': {
      const text = processor.single.findIndex(piece => 'Sequence' in piece)
      const ids = (pieces: readonly TemplatePieceJson[]): number[] => pieces.flatMap(piece => 'SpecialToken' in piece ? processor.special_tokens[piece.SpecialToken.id]!.ids : [])
      return { before: ids(processor.single.slice(0, text)), after: ids(processor.single.slice(text + 1)) }
    }
  }
}
