import { Worker } from 'node:worker_threads'
import type { TokenizerThreadAnswer, TokenizerThreadData, TokenizerThreadRequest } from './tokenizer-thread.js'

export type EncodeOptions = { addSpecial?: boolean, parseSpecial?: boolean }

interface Waiting { readonly resolve: (ids: number[]) => void, readonly reject: (error: Error) => void }

/**
 * Tokenizes long texts in a thread, so that the event loop goes on meanwhile (200 KB in one word take a second). For
 * texts of some kilobytes the way to the thread is longer than the work, and a text that cannot fit the context should
 * not come here at all: both are the caller's to know. The thread starts with the first text; one
 * that dies fails the texts it had, and the next text starts another.
 */
export class TokenizerPool {
  readonly #baseFolder: string
  readonly #waiting = new Map<number, Waiting>()
  #thread: Worker | null = null
  #next = 0

  constructor (baseFolder: string) {
    this.#baseFolder = baseFolder
  }

  /** As `Tokenizer.encode`. */
  encode (text: string, options: EncodeOptions = {}): Promise<number[]> {
    const thread = this.#thread ??= this.#start()
    const id = this.#next++
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject })
      thread.postMessage({ id, text, options } satisfies TokenizerThreadRequest)
    })
  }

  async close (): Promise<void> {
    const thread = this.#thread
    this.#thread = null
    await thread?.terminate()
  }

  #start (): Worker {
    const thread = new Worker(new URL('./tokenizer-thread.js', import.meta.url), { workerData: { baseFolder: this.#baseFolder } satisfies TokenizerThreadData })
    thread.unref()
    thread.on('message', (answer: TokenizerThreadAnswer) => {
      const waiting = this.#waiting.get(answer.id)
      this.#waiting.delete(answer.id)
      if ('error' in answer) waiting?.reject(new Error(`the tokenizer failed: ${answer.error}`))
      else waiting?.resolve(answer.ids)
    })
    thread.once('error', error => this.#failAll(thread, error))
    thread.once('exit', () => this.#failAll(thread, new Error('the tokenizer thread ended')))
    return thread
  }

  #failAll (thread: Worker, error: Error): void {
    // Texts of a thread that took its place are not concerned.
    if (this.#thread !== null && this.#thread !== thread) return
    this.#thread = null
    for (const { reject } of this.#waiting.values()) reject(error)
    this.#waiting.clear()
  }
}
