/** Token ids and texts of one tokenizer against recorded ones, exact. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { BASE_FILES } from '../../src/model/base.js'
import { validateTokenizerJson } from '../../src/model/tokenizer-json.js'
import type { Tokenizer } from '../../src/model/tokenizer.js'
import { readJson, sameList } from './fixture-files.js'
import type { Checks } from './ledger.js'
import type { ServedBase } from './served-base.js'

export interface TokenizerCase {
  readonly text: string
  readonly ids: readonly number[]
  readonly ids_no_special: readonly number[]
  /** Control tokens in the text taken as text. */
  readonly ids_plain?: readonly number[]
  readonly tokens?: readonly string[] | null
  readonly decoded?: string
  readonly decoded_skip_special: string
  readonly token_type_ids?: readonly number[]
}

interface RecordedTokenizer {
  readonly len_with_added: number
  readonly special_ids: Readonly<Record<string, number | null>>
  readonly cases: readonly TokenizerCase[]
  readonly pairs?: readonly unknown[]
  readonly batches?: ReadonlyArray<{ texts: string[], padding_side: string, max_length: number | null, input_ids: number[][], attention_mask: number[][] }>
}

export function compareTokenizer (checks: Checks, tokenizer: Tokenizer, cases: readonly TokenizerCase[]): void {
  for (const { text, ids, ids_no_special, ids_plain, decoded, decoded_skip_special } of cases) {
    const where = JSON.stringify(text.slice(0, 40))
    checks.equal('token ids', where, sameList(tokenizer.encode(text, { parseSpecial: true }), ids))
    checks.equal('token ids without special tokens', where, sameList(tokenizer.encode(text, { parseSpecial: true, addSpecial: false }), ids_no_special))
    if (ids_plain !== undefined) checks.equal('token ids of plain text', where, sameList(tokenizer.encode(text, { addSpecial: false }), ids_plain))
    if (decoded !== undefined) checks.equal('decoded text', where, tokenizer.decode(ids, { keepSpecial: true }) === decoded)
    checks.equal('decoded text without special tokens', where, tokenizer.decode(ids) === decoded_skip_special)
  }
}

/** `tokenizer_cases.json` of a model folder. */
export function tokenizerReferences (checks: Checks, folder: string, { base, tokenizer }: ServedBase): void {
  const recorded = readJson<RecordedTokenizer>(folder, 'tokenizer_cases.json')
  compareTokenizer(checks, tokenizer, recorded.cases)
  checks.equal('number of tokens', String(tokenizer.vocabSize), tokenizer.vocabSize === recorded.len_with_added)

  const names = tokenNames(base.folder)
  for (const { text, ids, tokens } of recorded.cases) {
    if (tokens) checks.equal('vocabulary entries', JSON.stringify(text.slice(0, 40)), sameList(ids.map(id => names.get(id)), tokens))
  }
  const { bos, eos } = recorded.special_ids
  if (bos !== null && bos !== undefined) checks.equal('special tokens', 'bos', base.manifest.config.bosTokenId === bos)
  if (eos !== null && eos !== undefined) checks.equal('special tokens', 'eos', base.manifest.config.eosTokenIds.includes(eos))

  for (const { texts, padding_side: side, max_length: limit, input_ids: rows, attention_mask: mask } of recorded.batches ?? []) {
    if (limit !== null) {
      checks.notBuilt('truncation to a length', texts.length, 'a text that is too long is refused when it is served; training cuts its rows from the left of the input')
      continue
    }
    rows.forEach((ids, row) => {
      checks.equal('rows of padded batches, padding taken off', `padding ${side}, row ${row}`, sameList(tokenizer.encode(texts[row]!, { parseSpecial: true }), ids.filter((_, i) => mask[row]![i] === 1)))
    })
  }
  const { pairs = [] } = recorded
  if (pairs.length > 0) checks.notBuilt('pairs of texts in one encoding', pairs.length, 'a decoder reads one text; pairs come with the encoder families')
  const types = recorded.cases.filter(({ token_type_ids: ids }) => ids !== undefined).length
  if (types > 0) checks.notBuilt('token types', types, 'a decoder has none; they come with the encoder families')
}

/** What the stored tokenizer calls its ids. */
function tokenNames (baseFolder: string): ReadonlyMap<number, string> {
  const { model, added_tokens: added } = validateTokenizerJson(readFileSync(join(baseFolder, BASE_FILES.tokenizer)))
  return new Map([...Object.entries(model.vocab).map(([token, id]) => [id, token] as const), ...added.map(({ id, content }) => [id, content] as const)])
}
