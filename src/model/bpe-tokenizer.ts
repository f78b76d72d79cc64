/**
 * The tokenizer of a base: normaliser, pre-tokenizer and byte-pair merges of @huggingface/tokenizers, and around them
 * what it leaves out or does differently from Hugging Face's own (0.2.0: added tokens have no `single_word` and strip by
 * JavaScript's idea of space; unknown tokens are fused across pieces; decoding, see `token-decoder.ts`).
 */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Tokenizer as LibraryTokenizer } from '@huggingface/tokenizers'
import { AddedTokens } from './added-tokens.js'
import { BASE_FILES } from './base.js'
import { forLibrary } from './pretokenizers.js'
import { tokenDecoder, type TokenDecoder } from './token-decoder.js'
import type { Tokenizer } from './tokenizer.js'
import { idsAround, validateTokenizerJson, type ValidTokenizerJson } from './tokenizer-json.js'

interface Splitter { readonly raw: AddedTokens, readonly normalized: AddedTokens }

export function tokenizerFromJson (json: ValidTokenizerJson): Tokenizer {
  return new BpeTokenizer(json)
}

/** The tokenizer of an imported base. @throws MalformedModelError; an I/O error as it is */
export async function loadTokenizer (baseFolder: string): Promise<Tokenizer> {
  return tokenizerFromJson(validateTokenizerJson(await readFile(join(baseFolder, BASE_FILES.tokenizer))))
}

class BpeTokenizer implements Tokenizer {
  readonly vocabSize: number
  readonly #library: LibraryTokenizer
  readonly #tokens: string[] = []
  readonly #specialIds: ReadonlySet<number>
  readonly #before: readonly number[]
  readonly #after: readonly number[]
  readonly #everyToken: Splitter
  readonly #wordsOnly: Splitter
  readonly #fusesUnknown: boolean
  readonly #decode: TokenDecoder

  constructor (json: ValidTokenizerJson) {
    this.#library = new LibraryTokenizer({
      ...json, added_tokens: [], post_processor: null, decoder: null, pre_tokenizer: json.pre_tokenizer === null ? null : forLibrary(json.pre_tokenizer)
    }, { clean_up_tokenization_spaces: false })
    for (const [token, id] of Object.entries(json.model.vocab)) this.#tokens[id] = token
    // What is found in its normalised form is also written in it.
    for (const token of json.added_tokens) this.#tokens[token.id] = this.#isNormalized(token) ? this.#normalize(token.content) : token.content
    this.vocabSize = this.#tokens.length
    this.#specialIds = new Set(json.added_tokens.filter(token => token.special).map(token => token.id))
    const { before, after } = idsAround(json.post_processor)
    this.#before = before
    this.#after = after
    this.#everyToken = this.#splitter(json.added_tokens)
    this.#wordsOnly = this.#splitter(json.added_tokens.filter(token => !token.special))
    this.#fusesUnknown = json.model.fuse_unk
    this.#decode = tokenDecoder(json.decoder)
  }

  #splitter (tokens: ValidTokenizerJson['added_tokens']): Splitter {
    return {
      raw: new AddedTokens(tokens.filter(token => !this.#isNormalized(token))),
      normalized: new AddedTokens(tokens.filter(token => this.#isNormalized(token)), token => this.#normalize(token.content))
    }
  }

  #isNormalized (token: { normalized: boolean }): boolean {
    return token.normalized && this.#library.normalizer !== null
  }

  encode (text: string, { addSpecial = true, parseSpecial = false }: { addSpecial?: boolean, parseSpecial?: boolean } = {}): number[] {
    const { raw, normalized } = parseSpecial ? this.#everyToken : this.#wordsOnly
    const ids: number[] = addSpecial ? [...this.#before] : []
    for (const [index, section] of raw.split(text).entries()) {
      if (typeof section !== 'string') {
        ids.push(section.id)
        continue
      }
      for (const part of normalized.split(this.#normalize(section))) {
        if (typeof part !== 'string') ids.push(part.id)
        else this.#merge(this.#pieces(part, index), ids)
      }
    }
    if (addSpecial) ids.push(...this.#after)
    return ids
  }

  #normalize (text: string): string {
    return this.#library.normalizer?.(text) ?? text
  }

  #pieces (text: string, section: number): string[] {
    return this.#library.pre_tokenizer?.(text, { section_index: section }) ?? [text]
  }

  #merge (pieces: string[], ids: number[]): void {
    const model = this.#library.model!
    // Unknown tokens are fused within a piece, never across two.
    for (const group of this.#fusesUnknown ? pieces.map(piece => [piece]) : [pieces]) {
      for (const token of model(group)) {
        const id = model.tokens_to_ids.get(token)
        if (id === undefined) throw new Error(`internal: the byte-pair model made the token ${JSON.stringify(token)}, which has no id`)
        ids.push(id)
      }
    }
  }

  decode (ids: readonly number[], { keepSpecial = false }: { keepSpecial?: boolean } = {}): string {
    const tokens: string[] = []
    for (const id of ids) {
      // Embedding tables may have more rows than there are tokens; such an id means no text.
      const token = this.#tokens[id]
      if (token !== undefined && (keepSpecial || !this.#specialIds.has(id))) tokens.push(token)
    }
    return tokens.length === 0 ? '' : this.#decode(tokens).join('')
  }

  piece (id: number): string {
    return this.decode([id], { keepSpecial: true })
  }
}
