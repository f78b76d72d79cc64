/**
 * The chat template of a base: a Jinja program out of an untrusted file. Jinja has no limit on loops or memory, so it
 * runs in a thread of its own that is stopped when it takes too long or too much.
 */
import { Worker } from 'node:worker_threads'
import { Template } from '@huggingface/jinja'
import { MalformedModelError } from '../errors.js'

export interface ChatMessage { readonly role: string, readonly content: string }

export interface ChatTemplateOptions {
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
 * Messages as the text the base was trained on. Encode it with `parseSpecial` and without `addSpecial`: the template
 * writes control tokens itself. Thread start included, some 50 ms.
 * @throws MalformedModelError when the template fails, or is stopped at its limit of time or memory
 */
export async function renderChatTemplate (template: string, messages: readonly ChatMessage[], options: ChatTemplateOptions = {}): Promise<string> {
  const worker = new Worker(new URL('./chat-template-worker.js', import.meta.url), {
    workerData: {
      template,
      values: { messages, add_generation_prompt: options.addGenerationPrompt ?? true, bos_token: options.bosToken ?? '', eos_token: options.eosToken ?? '' }
    },
    resourceLimits: { maxOldGenerationSizeMb: MEMORY_LIMIT_MB, maxYoungGenerationSizeMb: 16 },
    stdout: true, stderr: true
  })
  let timer: NodeJS.Timeout | undefined
  try {
    return await new Promise<string>((resolve, reject) => {
      const fail = (reason: string): void => reject(new MalformedModelError(`the chat template ${reason}`))
      timer = setTimeout(() => fail(`was stopped after ${TIME_LIMIT_MS} ms`), TIME_LIMIT_MS)
      worker.once('message', (answer: { text?: string, error?: string }) => {
        if (answer.text === undefined) fail(`failed: ${answer.error ?? 'no reason given'}`)
        else resolve(answer.text)
      })
      worker.once('error', (error: NodeJS.ErrnoException) => fail(error.code === 'ERR_WORKER_OUT_OF_MEMORY' ? `was stopped at ${MEMORY_LIMIT_MB} MB of memory` : `failed: ${error.message}`))
      worker.once('exit', () => fail('ended without an answer'))
    })
  } finally {
    clearTimeout(timer)
    await worker.terminate()
  }
}
