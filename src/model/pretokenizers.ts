/**
 * The pre-tokenizers that are read from a `tokenizer.json`, and the regular expressions they may use. A pattern of an
 * untrusted file is never compiled: it must be one of these, which are known to take linear time.
 */
import { MalformedModelError } from '../errors.js'
import { flagAt, listAt, objectAt, quoted, textAt } from './json-shape.js'

export type PreTokenizerJson =
  | { readonly type: 'ByteLevel', readonly add_prefix_space: false, readonly trim_offsets: boolean, readonly use_regex: boolean }
  | { readonly type: 'Split', readonly pattern: { readonly Regex: string }, readonly behavior: 'Isolated', readonly invert: false }
  | { readonly type: 'Digits', readonly individual_digits: boolean }
  | { readonly type: 'Metaspace', readonly replacement: string, readonly prepend_scheme: 'always' | 'never' | 'first', readonly split: boolean }
  | { readonly type: 'Sequence', readonly pretokenizers: readonly PreTokenizerJson[] }

/** GPT-2's: what `ByteLevel` with `use_regex` splits by, and llama.cpp's `gpt-2`. */
export const GPT2_PATTERN = String.raw`'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`
const AFTER_CONTRACTIONS = String.raw`|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`
/** Llama 3's, as llama.cpp writes it for `llama-bpe`: contractions match a-z and A-Z only. */
export const LLAMA3_PATTERN = `(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])${AFTER_CONTRACTIONS}`
/** As Hugging Face's files write them. Unicode folds U+017F (long s) to s too. */
const ANY_CASE_CONTRACTIONS = "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
const LISTED_CONTRACTIONS = "(?:'[sS\u017F]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])"
/** Every digit of any script alone: the first step of llama.cpp's `smollm`. */
export const DIGIT_PATTERN = String.raw`\p{N}`
const DIGIT_RUN_PATTERN = String.raw`\p{N}+`

/** They cover every character of a text, so keeping the matches and isolating them is the same. */
const COVERING_PATTERNS: ReadonlySet<string> = new Set([
  GPT2_PATTERN,
  String.raw`'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`,
  LLAMA3_PATTERN,
  `${ANY_CASE_CONTRACTIONS}${AFTER_CONTRACTIONS}`,
  `${ANY_CASE_CONTRACTIONS}${AFTER_CONTRACTIONS.replace('{1,3}', '')}` // Qwen 2 and later SmolLM: digits one by one
])
const PARTIAL_PATTERNS: ReadonlySet<string> = new Set([DIGIT_PATTERN, DIGIT_RUN_PATTERN, String.raw`\p{N}{1,3}`])

const MAX_DEPTH = 4
const MAX_STEPS = 16
const MAX_PATTERN_LENGTH = 1000

/** @throws MalformedModelError naming the type, option or pattern that is not supported */
export function preTokenizerAt (value: unknown, place = 'pre_tokenizer', depth = 0): PreTokenizerJson | null {
  if (value === undefined || value === null) return null
  const json = objectAt(value, place)
  const type = textAt(json['type'], `${place}.type`, 100)
  switch (type) {
    case 'ByteLevel': {
      if (flagAt(json['add_prefix_space'], `${place}.add_prefix_space`, true)) {
        throw new MalformedModelError(`${place}: ByteLevel with add_prefix_space is not supported`)
      }
      return {
        type, add_prefix_space: false, trim_offsets: flagAt(json['trim_offsets'], `${place}.trim_offsets`, true), use_regex: flagAt(json['use_regex'], `${place}.use_regex`, true)
      }
    }
    case 'Digits': return { type, individual_digits: flagAt(json['individual_digits'], `${place}.individual_digits`, false) }
    case 'Split': return splitAt(json, place)
    case 'Metaspace': return metaspaceAt(json, place)
    case 'Sequence': {
      if (depth === MAX_DEPTH) throw new MalformedModelError(`${place} is nested more than ${MAX_DEPTH} levels deep`)
      const steps = listAt(json['pretokenizers'], `${place}.pretokenizers`, MAX_STEPS)
      return { type, pretokenizers: steps.map((step, i) => preTokenizerAt(step, `${place}.pretokenizers[${i}]`, depth + 1)).filter(step => step !== null) }
    }
    default: throw new MalformedModelError(`pre-tokenizer type ${quoted(type)} is not supported`)
  }
}

function splitAt (json: Readonly<Record<string, unknown>>, place: string): PreTokenizerJson {
  const pattern = objectAt(json['pattern'], `${place}.pattern`)['Regex']
  if (pattern === undefined) throw new MalformedModelError(`${place}: Split by a plain string is not supported`)
  const regex = textAt(pattern, `${place}.pattern.Regex`, MAX_PATTERN_LENGTH)
  if (!COVERING_PATTERNS.has(regex) && !PARTIAL_PATTERNS.has(regex)) throw new MalformedModelError(refusal(regex))
  const behavior = textAt(json['behavior'], `${place}.behavior`, 100)
  const invert = flagAt(json['invert'], `${place}.invert`, false)
  const isolates = behavior === 'Isolated' && !invert
  const keepsMatches = behavior === 'Removed' && invert && COVERING_PATTERNS.has(regex)
  if (!isolates && !keepsMatches) throw new MalformedModelError(`${place}: Split with behavior ${quoted(behavior)}${invert ? ', inverted,' : ''} is not supported`)
  return { type: 'Split', pattern: { Regex: regex }, behavior: 'Isolated', invert: false }
}

/** Why a pattern is refused, as far as that can be said without running it. */
function refusal (pattern: string): string {
  const subject = `the pre-tokenizer pattern ${pattern.length > 100 ? quoted(pattern) : `'${pattern}'`}`
  try {
    // Only parsed, never run. `(?i:` is newer than this engine.
    RegExp(pattern.replaceAll('(?i:', '(?:'), 'u')
  } catch {
    return `${subject} is not a valid regular expression`
  }
  if (/[+*}]\)[+*{]/.test(pattern)) return `${subject} repeats a repetition, which can backtrack exponentially`
  return `${subject} is not one of the known ones`
}

function metaspaceAt (json: Readonly<Record<string, unknown>>, place: string): PreTokenizerJson {
  const replacement = textAt(json['replacement'] ?? '▁', `${place}.replacement`, 4)
  if ([...replacement].length !== 1) throw new MalformedModelError(`${place}.replacement must be one character`)
  // Older files say `add_prefix_space` instead.
  const scheme = json['prepend_scheme'] ?? (flagAt(json['add_prefix_space'], `${place}.add_prefix_space`, true) ? 'always' : 'never')
  if (scheme !== 'always' && scheme !== 'never' && scheme !== 'first') throw new MalformedModelError(`${place}.prepend_scheme must be always, never or first`)
  return { type: 'Metaspace', replacement, prepend_scheme: scheme, split: flagAt(json['split'], `${place}.split`, true) }
}

/** A configuration for @huggingface/tokenizers. */
export type LibraryPreTokenizer = Readonly<{ type: string, [option: string]: unknown }>

/**
 * The same pre-tokenizer in the words that @huggingface/tokenizers 0.2 gets right: its `ByteLevel` uses JavaScript's
 * `\s` (which has U+FEFF and lacks U+0085), its `Digits` knows ASCII only, its `Metaspace` never splits; `Split` does
 * all three. It ignores the case of a-z only.
 */
export function forLibrary (json: PreTokenizerJson): LibraryPreTokenizer {
  switch (json.type) {
    case 'ByteLevel': return json.use_regex ? sequence([split(GPT2_PATTERN), { ...json, use_regex: false }]) : json
    case 'Digits': return split(json.individual_digits ? DIGIT_PATTERN : DIGIT_RUN_PATTERN)
    case 'Split': return split(json.pattern.Regex)
    case 'Metaspace': {
      if (!json.split) return json
      const mark = json.replacement.replace(/[\\^$.*+?()[\]{}|/-]/, String.raw`\$&`)
      return sequence([json, split(`${mark}[^${mark}]*|[^${mark}]+`)])
    }
    case 'Sequence': return sequence(json.pretokenizers.map(forLibrary))
  }
}

function split (regex: string): LibraryPreTokenizer {
  return { type: 'Split', pattern: { Regex: regex.replace(ANY_CASE_CONTRACTIONS, LISTED_CONTRACTIONS) }, behavior: 'Isolated', invert: false }
}

function sequence (pretokenizers: readonly LibraryPreTokenizer[]): LibraryPreTokenizer {
  return { type: 'Sequence', pretokenizers }
}
