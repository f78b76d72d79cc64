/** Child process of `ChatTemplate`: renders what it is sent, one after the other, until its parent leaves. */
import { Template } from '@huggingface/jinja'

export interface RenderRequest { readonly template: string, readonly values: Readonly<Record<string, unknown>> }
export type RenderAnswer = { readonly text: string } | { readonly error: string }

// Longer than any context; the parent copies it.
const MAX_OUTPUT_LENGTH = 4_000_000

function render ({ template, values }: RenderRequest): RenderAnswer {
  try {
    const text = new Template(template).render(values)
    return text.length > MAX_OUTPUT_LENGTH ? { error: `it wrote ${text.length} characters, limit ${MAX_OUTPUT_LENGTH}` } : { text }
  } catch (error) {
    return { error: String((error as Error).message).slice(0, 500) }
  }
}

process.on('message', request => process.send?.(render(request as RenderRequest)))
