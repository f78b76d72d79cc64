/** The tokens of a base as the masks need them: flat, so that they come from another thread in a few arrays. */
import { once } from 'node:events'
import { Worker } from 'node:worker_threads'
import type { TokenBytes } from '../model/token-bytes.js'
import { type TokenTrie, tokenTrie } from './token-trie.js'
import type { VocabularyThreadData } from './vocabulary-thread.js'

/** The text of each token in one place of an answer. */
export interface TokenTable {
  readonly trie: TokenTrie
  /** [tokens + 1] the text of a token is `bytes` from its start to before the next one's. */
  readonly starts: Int32Array
  readonly bytes: Uint8Array
}

export interface Vocabulary {
  readonly size: number
  /** Of the first token of an answer. */
  readonly first: TokenTable
  readonly later: TokenTable
  /** [256] 1: there is a token of this byte alone. */
  readonly singleBytes: Uint8Array
}

export function vocabularyOf ({ first, later }: TokenBytes, size: number): Vocabulary {
  const singleBytes = new Uint8Array(256)
  for (const bytes of later) if (bytes?.length === 1) singleBytes[bytes[0]!] = 1
  const table = tableOf(later)
  return { size, first: first.every((bytes, id) => bytes === later[id]) ? table : tableOf(first), later: table, singleBytes }
}

function tableOf (tokens: TokenBytes['later']): TokenTable {
  const starts = new Int32Array(tokens.length + 1)
  for (let id = 0; id < tokens.length; id++) starts[id + 1] = starts[id]! + (tokens[id]?.length ?? 0)
  const bytes = new Uint8Array(starts[tokens.length]!)
  for (const [id, token] of tokens.entries()) if (token !== undefined) bytes.set(token, starts[id])
  return { trie: tokenTrie(tokens), starts, bytes }
}

/** In a thread that ends with it: the tokenizer's file takes half a second, and memory that would stay with the process. @throws as `loadTokenBytes` */
export async function loadVocabulary (baseFolder: string, size: number): Promise<Vocabulary> {
  const thread = new Worker(new URL('./vocabulary-thread.js', import.meta.url), { workerData: { baseFolder, size } satisfies VocabularyThreadData })
  const [vocabulary] = await once(thread, 'message') as [Vocabulary]
  return vocabulary
}
