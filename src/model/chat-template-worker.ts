/** Thread of `renderChatTemplate`: renders once, answers, ends. */
import { parentPort, workerData } from 'node:worker_threads'
import { Template } from '@huggingface/jinja'

// The caller copies the answer: a template must not hand over more than any prompt could be.
const MAX_OUTPUT_LENGTH = 4_000_000

const { template, values } = workerData as { template: string, values: Record<string, unknown> }

function render (): { text: string } | { error: string } {
  try {
    const text = new Template(template).render(values)
    return text.length > MAX_OUTPUT_LENGTH ? { error: `it wrote ${text.length} characters, limit ${MAX_OUTPUT_LENGTH}` } : { text }
  } catch (error) {
    return { error: String((error as Error).message).slice(0, 500) }
  }
}

parentPort?.postMessage(render())
