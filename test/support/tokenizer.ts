import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { tokenizerFromJson } from '../../src/model/bpe-tokenizer.js'
import { validateTokenizerJson, type ValidTokenizerJson } from '../../src/model/tokenizer-json.js'
import type { Tokenizer } from '../../src/model/tokenizer.js'
import { PROJECT_ROOT } from '../../src/project.js'

/** A Llama-3 style tokenizer of 344 tokens, begin-of-text 341 in front, end-of-text 342. */
export function testTokenizerJson (): ValidTokenizerJson {
  return validateTokenizerJson(readFileSync(join(PROJECT_ROOT, 'test', 'support', 'tokenizer.json')))
}

export function testTokenizer (): Tokenizer {
  return tokenizerFromJson(testTokenizerJson())
}
