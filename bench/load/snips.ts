/** The training data of SNIPS, as `examples/` has them. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { PROJECT_ROOT } from '../../src/project.js'

export interface Snips {
  readonly file: Buffer
  readonly task: { readonly name: string, readonly kind: 'classification', readonly labels: readonly string[] }
}

export function snips (): Snips {
  const file = readFileSync(join(PROJECT_ROOT, 'examples', 'snips', 'train.jsonl'))
  const rows = file.toString().trim().split('\n').map(line => JSON.parse(line) as { readonly label: string })
  return { file, task: { name: 'snips', kind: 'classification', labels: [...new Set(rows.map(row => row.label))].sort() } }
}
