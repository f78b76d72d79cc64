/** What clients ask of the tasks that every service has from its first start: short classifications and short texts. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { PROJECT_ROOT } from '../../src/project.js'

export interface InferCall { readonly path: string, readonly body: Readonly<Record<string, unknown>> }

const MAX_TOKENS = 16

/**
 * Half classify, a quarter writes a sentence about a table row, a quarter has the base itself go on; no input comes
 * twice in some sixty.
 */
export function mixedCalls (base: string): (index: number) => InferCall {
  const intents = inputsOf('snips')
  const tables = inputsOf('e2e')
  return index => {
    const intent = { input: intents[index % intents.length]! }
    switch (index % 4) {
      case 1: return call('table-to-text', { input: tables[index % tables.length]!, max_tokens: MAX_TOKENS })
      case 3: return call(base, { ...intent, max_tokens: MAX_TOKENS })
      default: return call('intent-router', intent)
    }
  }
}

function inputsOf (example: string): string[] {
  const lines = readFileSync(join(PROJECT_ROOT, 'examples', example, 'test.jsonl'), 'utf8').trim().split('\n')
  return lines.map(line => (JSON.parse(line) as { readonly input: string }).input)
}

export function call (task: string, body: InferCall['body']): InferCall {
  return { path: `/v1/tasks/${task}/infer`, body }
}
