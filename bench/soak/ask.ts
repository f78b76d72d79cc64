/** One request, and of its answer what must be the same whenever the same version answers it. */
import type { Digest } from '../../src/digest.js'
import type { BenchService } from '../service.js'

export interface Answer {
  readonly digest: Digest
  /** Label and scores, or text and why it ended; as JSON. */
  readonly said: string
}

export type InferBody = Readonly<Record<string, unknown>>

interface Outcome { readonly label?: string, readonly scores?: unknown, readonly text?: string, readonly finish_reason?: string }

/** @throws Error when it is refused, or aborted by `signal` */
export async function ask ({ url, key }: BenchService, task: string, body: InferBody, signal?: AbortSignal): Promise<Answer> {
  const response = await fetch(`${url}/v1/tasks/${task}/infer`, {
    method: 'POST', body: JSON.stringify(body), headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' }, ...signal === undefined ? {} : { signal }
  })
  const text = await response.text()
  if (!response.ok) throw new Error(`${task}: ${response.status} ${text}`)
  const { digest, ...outcome } = JSON.parse(text) as Outcome & { readonly digest: Digest }
  return { digest, said: said(outcome) }
}

/** @param until hangs up after so many pieces of text @returns null when it hung up. @throws Error when it is refused */
export async function askForStream ({ client }: BenchService, task: string, body: InferBody, until = Infinity): Promise<Answer | null> {
  let digest: Digest | null = null
  let text = ''
  let pieces = 0
  for await (const { event, data } of client.postForEvents(`/v1/tasks/${task}/infer`, { ...body, stream: true })) {
    if (event === 'error') throw new Error(`${task}: ${JSON.stringify(data)}`)
    if (event === 'start') ({ digest } = data as { readonly digest: Digest })
    if (event === 'text') text += (data as { readonly text: string }).text
    if (event === 'text' && ++pieces >= until) return null
    if (event === 'finished' && digest !== null) return { digest, said: said({ text, finish_reason: (data as { readonly finish_reason: string }).finish_reason }) }
  }
  throw new Error(`${task}: the stream ended without an end`)
}

function said ({ label, scores, text, finish_reason }: Outcome): string {
  return JSON.stringify(label === undefined ? { text, finish_reason } : { label, scores })
}
