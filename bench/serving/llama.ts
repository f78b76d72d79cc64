/** node-llama-cpp on one GGUF file, in a process of its own that only works while it is asked to. */
import { fork, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { BenchFailure } from '../failure.js'
import type { Reply, Settings } from './llama-process.js'
import type { Load, Run, Subject } from './subject.js'

export class LlamaSubject implements Subject {
  readonly name: string
  readonly #child: ChildProcess

  private constructor (name: string, child: ChildProcess) {
    this.name = name
    this.#child = child
  }

  /** @throws BenchFailure when it does not run here */
  static async open (name: string, settings: Settings): Promise<LlamaSubject> {
    const child = fork(fileURLToPath(new URL('./llama-process.js', import.meta.url)), [JSON.stringify(settings)], { stdio: ['ignore', 'ignore', 'inherit', 'ipc'] })
    const subject = new LlamaSubject(name, child)
    await subject.#reply()
    return subject
  }

  async run (load: Load): Promise<Run> {
    const reply = this.#reply()
    this.#child.send(load)
    const answer = await reply
    if (!('run' in answer)) throw new BenchFailure(`${this.name} answered out of turn`)
    if (answer.run.tokens.some(times => times.length !== load.maxTokens)) throw new BenchFailure(`${this.name} ended a row before its ${load.maxTokens} tokens`)
    return answer.run
  }

  async close (): Promise<void> {
    const ended = once(this.#child, 'exit')
    this.#child.disconnect()
    await ended
  }

  async #reply (): Promise<Reply> {
    const ended = new AbortController()
    try {
      const [reply] = await Promise.race([
        once(this.#child, 'message', { signal: ended.signal }) as Promise<[Reply]>,
        once(this.#child, 'exit', { signal: ended.signal }).then(([code]) => { throw new BenchFailure(`${this.name} ended with ${String(code)}`) })
      ])
      if ('error' in reply) throw new BenchFailure(`${this.name}: ${reply.error}`)
      return reply
    } finally {
      // The one still listened for is not missed: nobody awaits it any more.
      ended.abort()
    }
  }
}
