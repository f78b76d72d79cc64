/** The vocabulary part of a `tokenizer.json`: the byte-pair model and the tokens added beside it. */
import { MalformedModelError } from '../errors.js'
import { flagAt, integerAt, listAt, objectAt, quoted, textAt, type JsonObject } from './json-shape.js'

export interface AddedTokenJson {
  readonly id: number
  readonly content: string
  readonly single_word: boolean
  readonly lstrip: boolean
  readonly rstrip: boolean
  readonly normalized: boolean
  /** A control token; false: an ordinary word that is never split. */
  readonly special: boolean
}

export interface BpeModelJson {
  readonly type: 'BPE'
  readonly dropout: null
  readonly unk_token: string | null
  readonly continuing_subword_prefix: null
  readonly end_of_word_suffix: null
  readonly fuse_unk: boolean
  readonly byte_fallback: boolean
  /** A piece that is a whole entry is not merged. */
  readonly ignore_merges: boolean
  readonly vocab: Readonly<Record<string, number>>
  readonly merges: ReadonlyArray<readonly [string, string]>
}

// The largest vocabularies in use have 262 thousand entries and some 500 thousand merges.
const MAX_ENTRIES = 1_048_576
const MAX_MERGES = 4_194_304
const MAX_TOKEN_LENGTH = 2000
// Real files have some hundred, at most a few thousand; each becomes a path of a trie.
const MAX_ADDED = 20_000
const MAX_ADDED_LENGTH = 256

/** @throws MalformedModelError */
export function bpeModelAt (value: unknown): BpeModelJson {
  const json = objectAt(value, 'model')
  // GPT-2's own file is older than the field.
  const type = json['type'] === undefined && json['merges'] !== undefined ? 'BPE' : textAt(json['type'], 'model.type', 100)
  if (type !== 'BPE') throw new MalformedModelError(`tokenizer model type ${quoted(type)} is not supported`)
  for (const option of ['dropout', 'continuing_subword_prefix', 'end_of_word_suffix']) {
    if (![undefined, null, 0, ''].includes(json[option] as undefined)) throw new MalformedModelError(`model.${option} is not supported`)
  }
  const vocab = vocabAt(json['vocab'])
  const unk_token = json['unk_token'] === undefined || json['unk_token'] === null ? null : textAt(json['unk_token'], 'model.unk_token', MAX_TOKEN_LENGTH)
  if (unk_token !== null && !Object.hasOwn(vocab, unk_token)) throw new MalformedModelError(`model.unk_token ${quoted(unk_token)} is not in the vocabulary`)
  return {
    type, dropout: null, unk_token, continuing_subword_prefix: null, end_of_word_suffix: null,
    fuse_unk: flagAt(json['fuse_unk'], 'model.fuse_unk', false),
    byte_fallback: flagAt(json['byte_fallback'], 'model.byte_fallback', false),
    ignore_merges: flagAt(json['ignore_merges'], 'model.ignore_merges', false),
    vocab,
    merges: mergesAt(json['merges'], vocab)
  }
}

function vocabAt (value: unknown): Record<string, number> {
  const entries = Object.entries(objectAt(value, 'model.vocab'))
  if (entries.length === 0) throw new MalformedModelError('model.vocab is empty')
  if (entries.length > MAX_ENTRIES) throw new MalformedModelError(`model.vocab has ${entries.length} entries, limit ${MAX_ENTRIES}`)
  const owners = new Map<number, string>()
  for (const [token, id] of entries) {
    textAt(token, 'a key of model.vocab', MAX_TOKEN_LENGTH)
    if (typeof id !== 'number' || !Number.isInteger(id)) throw new MalformedModelError(`token ${quoted(token)} has no integer id`)
    if (id < 0) throw new MalformedModelError(`token ${quoted(token)} has the negative id ${id}`)
    const owner = owners.get(id)
    if (owner !== undefined) throw new MalformedModelError(`tokens ${quoted(owner)} and ${quoted(token)} share the id ${id}`)
    owners.set(id, token)
  }
  // `fromEntries` makes own properties, also of a token named __proto__.
  return Object.fromEntries(entries) as Record<string, number>
}

function mergesAt (value: unknown, vocab: JsonObject): Array<readonly [string, string]> {
  return listAt(value, 'model.merges', MAX_MERGES).map((merge, i) => {
    // Older files write a merge as one text with one space.
    const pair: unknown = typeof merge === 'string' ? merge.split(' ') : merge
    if (!Array.isArray(pair) || pair.length !== 2 || typeof pair[0] !== 'string' || typeof pair[1] !== 'string') {
      throw new MalformedModelError(`model.merges[${i}] does not name two pieces`)
    }
    const [left, right] = pair as [string, string]
    if (!Object.hasOwn(vocab, left) || !Object.hasOwn(vocab, right)) {
      throw new MalformedModelError(`merge ${quoted(left)} + ${quoted(right)} names pieces that are not in the vocabulary`)
    }
    if (!Object.hasOwn(vocab, left + right)) {
      throw new MalformedModelError(`merge ${quoted(left)} + ${quoted(right)} makes ${quoted(left + right)}, which is not in the vocabulary`)
    }
    return [left, right] as const
  })
}

/** @param vocabSize rows of the embedding table, when known @throws MalformedModelError */
export function addedTokensAt (value: unknown, vocab: Readonly<Record<string, number>>, vocabSize: number | undefined): AddedTokenJson[] {
  const owners = new Map(Object.entries(vocab).map(([token, id]) => [id, token]))
  const contents = new Set<string>()
  const tokens = listAt(value ?? [], 'added_tokens', MAX_ADDED).map((entry, i): AddedTokenJson => {
    const place = `added_tokens[${i}]`
    const json = objectAt(entry, place)
    const content = textAt(json['content'], `${place}.content`, MAX_ADDED_LENGTH)
    const id = integerAt(json['id'], `${place}.id`, 0, 2 ** 31 - 1)
    if (content === '') throw new MalformedModelError(`${place}.content is empty`)
    if (contents.has(content)) throw new MalformedModelError(`${place}: token ${quoted(content)} is added twice`)
    if (Object.hasOwn(vocab, content) && vocab[content] !== id) throw new MalformedModelError(`${place}: token ${quoted(content)} has id ${id} here and ${vocab[content]} in the vocabulary`)
    const owner = owners.get(id)
    if (owner !== undefined && owner !== content) throw new MalformedModelError(`tokens ${quoted(owner)} and ${quoted(content)} share the id ${id}`)
    contents.add(content)
    owners.set(id, content)
    const special = flagAt(json['special'], `${place}.special`, false)
    return {
      id, content, special,
      single_word: flagAt(json['single_word'], `${place}.single_word`, false),
      lstrip: flagAt(json['lstrip'], `${place}.lstrip`, false),
      rstrip: flagAt(json['rstrip'], `${place}.rstrip`, false),
      normalized: flagAt(json['normalized'], `${place}.normalized`, !special)
    }
  })
  // Without the model at hand: no real tokenizer leaves many holes, and tables are as long as the largest id.
  const limit = vocabSize ?? owners.size + Math.max(64, Math.ceil(owners.size / 4))
  for (const [id, token] of owners) {
    if (id >= limit) {
      throw new MalformedModelError(vocabSize === undefined
        ? `token ${quoted(token)} has id ${id}, but there are only ${owners.size} tokens`
        : `token ${quoted(token)} has id ${id}; the model's vocabulary has ${vocabSize} entries`)
    }
  }
  return tokens
}
