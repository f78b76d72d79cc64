/** The tokenizer in the metadata of a GGUF file, read as llama.cpp reads it and written as a `tokenizer.json`. */
import { MalformedModelError } from '../errors.js'
import { usableChatTemplate } from './chat-template.js'
import { optionalBoolean, optionalInteger, optionalIntegers, optionalText, textOf, textsOf, type GgufMetadata } from './gguf-values.js'
import { quoted } from './json-shape.js'
import { DIGIT_PATTERN, LLAMA3_PATTERN, type PreTokenizerJson } from './pretokenizers.js'
import { checkTokenizerJson, type PostProcessorJson, type ValidTokenizerJson } from './tokenizer-json.js'
import type { AddedTokenJson } from './tokenizer-vocabulary.js'

/** What an importer keeps of a base's tokenizer, whatever file it came from. */
export interface ImportedTokenizer {
  readonly tokenizerJson: ValidTokenizerJson
  /** A beginning-of-text token goes in front of every text. */
  readonly addsBos: boolean
  /** Null when there is none or it cannot be used (`warnings` says so). */
  readonly chatTemplate: string | null
  readonly warnings: readonly string[]
}

interface PreTokenizer { readonly json: PreTokenizerJson, readonly ignoreMerges: boolean, readonly addsBos: boolean }

const BYTE_LEVEL = { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: true } as const
const isolated = (regex: string) => ({ type: 'Split', pattern: { Regex: regex }, behavior: 'Isolated', invert: false }) as const
const GPT2: PreTokenizer = { json: BYTE_LEVEL, ignoreMerges: false, addsBos: false }

/** By `tokenizer.ggml.pre`: expressions, and the defaults of llama.cpp's `llama_vocab::impl::load` for each. */
const PRE_TOKENIZERS: ReadonlyMap<string, PreTokenizer> = new Map([
  ['gpt-2', GPT2],
  ['smollm', { json: { type: 'Sequence', pretokenizers: [isolated(DIGIT_PATTERN), BYTE_LEVEL] }, ignoreMerges: false, addsBos: false }],
  ['llama-bpe', { json: { type: 'Sequence', pretokenizers: [isolated(LLAMA3_PATTERN), { ...BYTE_LEVEL, use_regex: false }] }, ignoreMerges: true, addsBos: true }]
])

const UNKNOWN = 2
const CONTROL = 3
const USER_DEFINED = 4
const LAST_TYPE = 6

/**
 * @returns ids and texts as llama.cpp has them: type 3 is a control token, type 4 a word that is found in any text
 * @throws MalformedModelError naming the key and the entry
 */
export function tokenizerFromGguf (metadata: GgufMetadata): ImportedTokenizer {
  const warnings: string[] = []
  const kind = textOf(metadata, 'tokenizer.ggml.model')
  if (kind !== 'gpt2') throw new MalformedModelError(`tokenizer.ggml.model ${quoted(kind)} is not supported; 'gpt2' (byte-level BPE) is`)
  const pre = preTokenizerOf(metadata, warnings)
  const tokens = tokensOf(metadata)
  const types = typesOf(metadata, tokens.length)
  const bos = tokenIdOf(metadata, 'bos', tokens.length)
  const eos = tokenIdOf(metadata, 'eos', tokens.length)
  for (const name of ['unknown', 'padding', 'eot', 'eom']) tokenIdOf(metadata, name, tokens.length)
  const before = marker(metadata, 'bos', bos, pre.addsBos, warnings)
  const after = marker(metadata, 'eos', eos, false, warnings)

  const tokenizerJson = checkTokenizerJson({
    added_tokens: tokens.flatMap((content, id) => {
      const type = types?.[id]
      return type === CONTROL || type === USER_DEFINED || type === UNKNOWN ? [addedToken(id, content, type !== USER_DEFINED)] : []
    }),
    normalizer: null,
    pre_tokenizer: pre.json,
    post_processor: postProcessor(tokens, before, after),
    decoder: BYTE_LEVEL,
    model: {
      type: 'BPE', unk_token: null, fuse_unk: false, byte_fallback: false, ignore_merges: pre.ignoreMerges,
      vocab: Object.fromEntries(tokens.map((token, id) => [token, id])),
      merges: mergesOf(metadata, new Set(tokens))
    }
  }, { vocabSize: tokens.length })
  const template = usableChatTemplate(optionalText(metadata, 'tokenizer.chat_template'))
  if (template.warning !== null) warnings.push(template.warning)
  return { tokenizerJson, addsBos: before !== null, chatTemplate: template.text, warnings }
}

function preTokenizerOf (metadata: GgufMetadata, warnings: string[]): PreTokenizer {
  const name = optionalText(metadata, 'tokenizer.ggml.pre')
  if (name === null) {
    warnings.push("tokenizer.ggml.pre is missing: GPT-2's regular expression is used, as in llama.cpp; token ids may differ from those the model was trained on")
    return GPT2
  }
  const pre = PRE_TOKENIZERS.get(name)
  if (pre === undefined) throw new MalformedModelError(`tokenizer.ggml.pre ${quoted(name)} is not known; ${[...PRE_TOKENIZERS.keys()].join(', ')} are`)
  return pre
}

function tokensOf (metadata: GgufMetadata): readonly string[] {
  const tokens = textsOf(metadata, 'tokenizer.ggml.tokens')
  if (tokens.length === 0) throw new MalformedModelError('tokenizer.ggml.tokens is empty')
  const ids = new Map<string, number>()
  for (const [id, token] of tokens.entries()) {
    const other = ids.get(token)
    if (other !== undefined) throw new MalformedModelError(`tokenizer.ggml.tokens: entries ${other} and ${id} are the same string ${quoted(token)}`)
    ids.set(token, id)
  }
  const key = `${optionalText(metadata, 'general.architecture') ?? ''}.vocab_size`
  const size = optionalInteger(metadata, key)
  if (size !== null && size !== tokens.length) throw new MalformedModelError(`${key} is ${size}, there are ${tokens.length} tokens`)
  return tokens
}

function typesOf (metadata: GgufMetadata, count: number): readonly number[] | null {
  const key = 'tokenizer.ggml.token_type'
  const types = optionalIntegers(metadata, key)
  if (types === null) return null
  if (types.length !== count) throw new MalformedModelError(`${key} has ${types.length} entries, there are ${count} tokens`)
  const bad = types.findIndex(type => type < 0 || type > LAST_TYPE)
  if (bad >= 0) throw new MalformedModelError(`${key}: entry ${bad} is ${types[bad]}; 0 to ${LAST_TYPE} is possible`)
  return types
}

function tokenIdOf (metadata: GgufMetadata, name: string, count: number): number | null {
  const key = `tokenizer.ggml.${name}_token_id`
  const id = optionalInteger(metadata, key)
  if (id !== null && id >= count) throw new MalformedModelError(`${key} ${id} is no token; there are ${count}`)
  return id
}

/** The token that goes before (bos) or after (eos) every text, or null. */
function marker (metadata: GgufMetadata, name: 'bos' | 'eos', id: number | null, byDefault: boolean, warnings: string[]): number | null {
  const wanted = optionalBoolean(metadata, `tokenizer.ggml.add_${name}_token`)
  if (!(wanted ?? byDefault)) return null
  if (id === null) warnings.push(`tokenizer.ggml.${name}_token_id is missing: no such token is added`)
  return id
}

function mergesOf (metadata: GgufMetadata, tokens: ReadonlySet<string>): Array<[string, string]> {
  const merges = new Map<string, [string, string]>()
  for (const merge of textsOf(metadata, 'tokenizer.ggml.merges')) {
    // A piece may itself be a space, so the separator is looked for from the second character, as llama.cpp does.
    const space = merge.indexOf(' ', 1)
    if (space < 0 || space === merge.length - 1) throw new MalformedModelError(`tokenizer.ggml.merges: merge ${quoted(merge)} does not name two pieces`)
    const [left, right] = [merge.slice(0, space), merge.slice(space + 1)]
    if (!tokens.has(left) || !tokens.has(right) || !tokens.has(left + right)) {
      throw new MalformedModelError(`tokenizer.ggml.merges: merge ${quoted(merge)} names pieces, or makes one, that are not tokens`)
    }
    // The first of two equal merges holds in llama.cpp, the last in Hugging Face's library.
    if (!merges.has(merge)) merges.set(merge, [left, right])
  }
  return [...merges.values()]
}

function addedToken (id: number, content: string, special: boolean): AddedTokenJson {
  return { id, content, special, single_word: false, lstrip: false, rstrip: false, normalized: false }
}

function postProcessor (tokens: readonly string[], before: number | null, after: number | null): PostProcessorJson | null {
  if (before === null && after === null) return null
  const ids = [before, after].filter(id => id !== null)
  const special = (id: number | null, type_id: number) => id === null ? [] : [{ SpecialToken: { id: tokens[id]!, type_id } }]
  const text = (id: 'A' | 'B', type_id: number) => [...special(before, type_id), { Sequence: { id, type_id } }, ...special(after, type_id)]
  return {
    type: 'TemplateProcessing',
    single: text('A', 0),
    pair: [...text('A', 0), ...text('B', 1)],
    special_tokens: Object.fromEntries(ids.map(id => [tokens[id]!, { id: tokens[id]!, ids: [id], tokens: [tokens[id]!] }]))
  }
}
