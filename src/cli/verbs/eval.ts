import { parseArgs } from 'node:util'
import { ApiError, type ApiClient } from '../api-client.js'
import { readDataFile } from '../data-file.js'
import { evaluate } from '../evaluation.js'
import { metricsText } from '../job-display.js'
import { openClient } from '../running-service.js'
import { given, numberOption, positionals, type Verb } from '../verb.js'
import type { Answer, InferAnswer, Task } from '../wire-types.js'

/** Rows of one call: enough to keep every slot of the server busy, few enough to show progress. */
const ROWS_PER_CALL = 64
const DEFAULT_MAX_TOKENS = 64

export const verb: Verb = {
  usage: 'permafrost eval TASK[@VERSION] DATA [--limit N] [--max-tokens N] [--json]\n\n' +
    'Asks the task every row of a JSONL file and scores the answers: accuracy and macro F1, or exact match and corpus BLEU.\n' +
    `  --max-tokens N    longest answer of a generation task (${DEFAULT_MAX_TOKENS}), decoded greedily\n` +
    '  --chat            the bare base by its name: put each input through its chat template',
  async run (args) {
    const { values, positionals: rest } = parseArgs({
      args: [...args],
      allowPositionals: true,
      options: { json: { type: 'boolean', default: false }, limit: { type: 'string' }, 'max-tokens': { type: 'string' }, chat: { type: 'boolean', default: false } }
    })
    const [reference, path] = positionals(rest, 'TASK', 'DATA')
    const limit = numberOption('limit', values.limit)
    const maxTokens = numberOption('max-tokens', values['max-tokens']) ?? DEFAULT_MAX_TOKENS
    const rows = (await readDataFile(path!)).rows.slice(0, limit)
    const client = await openClient()
    const labels = await labelsOf(client, reference!.split('@')[0]!)
    const options = labels === null ? { max_tokens: maxTokens, temperature: 0, ...given({ chat: values.chat || undefined }) } : {}

    const begun = performance.now()
    const answers: Answer[] = []
    let head: Pick<InferAnswer, 'version' | 'digest'> | null = null
    for (let from = 0; from < rows.length; from += ROWS_PER_CALL) {
      const inputs = rows.slice(from, from + ROWS_PER_CALL).map(row => row.input)
      const { results = [], version, digest } = await client.post<InferAnswer>(`/v1/tasks/${encodeURIComponent(reference!)}/infer`, { inputs, ...options })
      head ??= { version, digest }
      answers.push(...results)
      if (!values.json && process.stderr.isTTY) process.stderr.write(`\r${answers.length} of ${rows.length} rows`)
    }
    if (!values.json && process.stderr.isTTY) process.stderr.write('\r\u001b[K')

    const result = { task: reference, ...head, ...evaluate(rows, answers, labels), seconds: Number(((performance.now() - begun) / 1000).toFixed(3)) }
    if (values.json) {
      console.log(JSON.stringify(result))
      return 0
    }
    const first = answers.find(answer => answer.error !== undefined)?.error
    if (first !== undefined) console.error(`${result.errors} rows got no answer, the first one: ${first.code}: ${first.message}`)
    const which = head?.version === undefined || head.version === null ? '' : ` version ${head.version}`
    console.log(`${reference ?? ''}${which}: ${metricsText(result.metrics)} (${rows.length} rows in ${result.seconds.toFixed(1)} s)`)
    return 0
  }
}

/** Null for generation, which the bare base does too. */
async function labelsOf (client: ApiClient, name: string): Promise<string[] | null> {
  try {
    const task = await client.get<Task>(`/v1/tasks/${encodeURIComponent(name)}`)
    return task.labels === null ? null : task.labels.map(label => label.name)
  } catch (error) {
    if (!(error instanceof ApiError) || error.code !== 'task_not_found') throw error
    const isBase = await client.get(`/v1/bases/${encodeURIComponent(name)}`).then(() => true, () => false)
    if (isBase) return null
    throw error
  }
}
