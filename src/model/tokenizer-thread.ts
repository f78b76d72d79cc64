/** The thread of `tokenizer-pool.ts`: one tokenizer, texts in, ids out. */
import { parentPort, workerData } from 'node:worker_threads'
import { loadTokenizer } from './bpe-tokenizer.js'

export interface TokenizerThreadData { readonly baseFolder: string }
export interface TokenizerThreadRequest { readonly id: number, readonly text: string, readonly options: { addSpecial?: boolean, parseSpecial?: boolean } }
export type TokenizerThreadAnswer = { readonly id: number, readonly ids: number[] } | { readonly id: number, readonly error: string }

const tokenizer = await loadTokenizer((workerData as TokenizerThreadData).baseFolder)

parentPort?.on('message', ({ id, text, options }: TokenizerThreadRequest) => {
  try {
    parentPort?.postMessage({ id, ids: tokenizer.encode(text, options) } satisfies TokenizerThreadAnswer)
  } catch (error) {
    parentPort?.postMessage({ id, error: (error as Error).message } satisfies TokenizerThreadAnswer)
  }
})
