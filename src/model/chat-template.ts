import { fork, type ChildProcess } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { Template } from '@huggingface/jinja'
import { MalformedModelError } from '../errors.js'
import type { RenderAnswer, RenderRequest } from './chat-template-process.js'

export interface ChatMessage { readonly role: string, readonly content: string }

export interface RenderOptions {
  /** End with the opening of the assistant's turn (default). */
  readonly addGenerationPrompt?: boolean
  /** As text, for templates that print them. */
  readonly bosToken?: string
  readonly eosToken?: string
}

// The longest in use (tool calling) have some 20 kB.
const MAX_TEMPLATE_LENGTH = 100_000
const TIME_LIMIT_MS = 2000
const MEMORY_LIMIT_MB = 64

/** The template when it parses; otherwise null and why it cannot be used. */
export function usableChatTemplate (text: string | null): { readonly text: string | null, readonly warning: string | null } {
  if (text === null || text === '') return { text: null, warning: null }
  if (text.length > MAX_TEMPLATE_LENGTH) return { text: null, warning: `the chat template has ${text.length} characters, limit ${MAX_TEMPLATE_LENGTH}: it cannot be used` }
  try {
    void new Template(text)
    return { text, warning: null }
  } catch (error) {
    return { text: null, warning: `the chat template does not parse and cannot be used: ${(error as Error).message.slice(0, 200)}` }
  }
}

/**
 * The chat template of a base: a Jinja program out of an untrusted file. Jinja limits neither loops nor memory, and a
 * thread that runs out of memory can take its process along, so it runs in a process of its own, which is started by
 * the first rendering and killed by one that takes too long.
 */
export class ChatTemplate {
  readonly #template: string
  #child: ChildProcess | null = null
  #last: Promise<unknown> = Promise.resolve()

  constructor (template: string) {
    this.#template = template
  }

  /**
   * Messages as the text the base was trained on. Encode it with `parseSpecial` and without `addSpecial`: the template
   * writes control tokens itself.
   * @throws MalformedModelError when the template fails, or is stopped at its limit of time or memory
   */
  render (messages: readonly ChatMessage[], { addGenerationPrompt = true, bosToken = '', eosToken = '' }: RenderOptions = {}): Promise<string> {
    const request = { template: this.#template, values: { messages, add_generation_prompt: addGenerationPrompt, bos_token: bosToken, eos_token: eosToken } }
    // One at a time, so that a time limit measures one rendering.
    const answer = this.#last.then(() => this.#ask(request))
    this.#last = answer.catch(() => {})
    return answer
  }

  async #ask (request: RenderRequest): Promise<string> {
    const answer = await this.#exchange(request)
    if ('error' in answer) throw new MalformedModelError(`the chat template failed: ${answer.error}`)
    return answer.text
  }

  /** A child that does not answer in time is killed. */
  #exchange (request: RenderRequest): Promise<RenderAnswer> {
    const child = this.#child ??= this.#start()
    return new Promise((resolve, reject) => {
      const finish = (): void => {
        clearTimeout(timer)
        child.off('message', answered).off('exit', ended)
      }
      const stop = (reason: string): void => {
        finish()
        this.close()
        reject(new MalformedModelError(`the chat template was stopped: ${reason}`))
      }
      const answered = (answer: unknown): void => {
        finish()
        resolve(answer as RenderAnswer)
      }
      const ended = (): void => stop(`it needs more than ${MEMORY_LIMIT_MB} MB of memory`)
      const timer = setTimeout(() => stop(`it needs more than ${TIME_LIMIT_MS} ms`), TIME_LIMIT_MS)
      child.on('message', answered).on('exit', ended)
      child.send(request, error => { if (error !== null) stop(error.message) })
    })
  }

  #start (): ChildProcess {
    const child = fork(fileURLToPath(new URL('./chat-template-process.js', import.meta.url)), {
      execArgv: [`--max-old-space-size=${MEMORY_LIMIT_MB}`], env: {}, stdio: ['ignore', 'ignore', 'ignore', 'ipc']
    })
    child.on('error', () => {})
    // It ends with its parent, which need not wait for it.
    child.unref()
    child.channel?.unref()
    return child
  }

  /** Ends the process; a later rendering starts another. */
  close (): void {
    this.#child?.kill('SIGKILL')
    this.#child = null
  }
}
