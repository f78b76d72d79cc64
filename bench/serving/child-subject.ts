/** A peer in a process of its own that only works while it is asked to: a load in, a run out. */
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { BenchFailure } from '../failure.js'
import type { Load, Run, Subject } from './subject.js'

export type Reply = { readonly run: Run } | { readonly ready: true, readonly versions: Readonly<Record<string, string>> } | { readonly error: string }

/** How its process is spoken to. */
export interface Channel {
  readonly child: ChildProcess
  send (load: Load): void
  /** The next one. */
  reply (signal: AbortSignal): Promise<Reply>
  /** Tells it that nothing more comes. */
  end (): void
}

export class ChildSubject implements Subject {
  readonly name: string
  readonly versions: Readonly<Record<string, string>>
  readonly #channel: Channel
  #busy = false

  private constructor (name: string, channel: Channel, versions: Readonly<Record<string, string>>) {
    this.name = name
    this.#channel = channel
    this.versions = versions
  }

  /** @throws BenchFailure when it does not run here */
  static async open (name: string, channel: Channel): Promise<ChildSubject> {
    const answer = await replyOf(name, channel)
    if (!('ready' in answer)) throw new BenchFailure(`${name} answered out of turn`)
    return new ChildSubject(name, channel, answer.versions)
  }

  async run (load: Load): Promise<Run> {
    this.#busy = true
    const reply = replyOf(this.name, this.#channel)
    this.#channel.send(load)
    const answer = await reply
    this.#busy = false
    if (!('run' in answer)) throw new BenchFailure(`${this.name} answered out of turn`)
    if (answer.run.tokens.some(times => times.length !== load.maxTokens)) throw new BenchFailure(`${this.name} ended a row before its ${load.maxTokens} tokens`)
    return answer.run
  }

  async close (): Promise<void> {
    const { child } = this.#channel
    if (child.exitCode !== null || child.signalCode !== null) return
    const ended = once(child, 'exit')
    this.#channel.end()
    // One that was left in a run would finish it first.
    if (this.#busy) child.kill('SIGKILL')
    await ended
  }
}

async function replyOf (name: string, { child, reply }: Channel): Promise<Reply> {
  const ended = new AbortController()
  try {
    const answer = await Promise.race([
      reply(ended.signal),
      once(child, 'exit', { signal: ended.signal }).then(([code]) => { throw new BenchFailure(`${name} ended with ${String(code)}`) })
    ])
    if ('error' in answer) throw new BenchFailure(`${name}: ${answer.error}`)
    return answer
  } finally {
    // The one still listened for is not missed: nobody awaits it any more.
    ended.abort()
  }
}
