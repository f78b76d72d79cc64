/** The same task trained and asked inside and outside of containers: the numbers have to be the same. */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { ApiClient } from '../../src/cli/api-client.js'
import type { Answer, InferAnswer } from '../../src/cli/wire-types.js'
import { PROJECT_ROOT } from '../../src/project.js'
import { environment, permafrost } from '../support/service.js'

const SNIPS = join(PROJECT_ROOT, 'examples', 'snips')
const ROWS_PER_CALL = 64
export const TRAINING_ROWS = 200

export interface SnipsRun { readonly accuracy: number, readonly answers: readonly Answer[], readonly trainingSeconds: number }

interface Row { readonly input: string, readonly target: string }

function rows (name: string): Row[] {
  return readFileSync(join(SNIPS, `${name}.jsonl`), 'utf8').trim().split('\n').map(line => JSON.parse(line) as Row)
}

export function testInputs (): string[] {
  return rows('test').map(({ input }) => input)
}

/** The first 200 rows, for any client that trains. */
export function writeTrainingRows (folder: string): string {
  const file = join(folder, `snips-${TRAINING_ROWS}.jsonl`)
  writeFileSync(file, readFileSync(join(SNIPS, 'train.jsonl'), 'utf8').split('\n').slice(0, TRAINING_ROWS).join('\n'))
  return file
}

/** As the README does it: `permafrost train`, then every test row is asked. @throws Error when the job fails */
export async function trainAndAsk (url: string, key: string, folder: string): Promise<SnipsRun> {
  const begun = performance.now()
  const env = environment(folder, { PERMAFROST_URL: url, PERMAFROST_API_KEY: key })
  const { code, stdout, stderr } = await permafrost(env, ['train', writeTrainingRows(folder), '--task', 'snips', '--watch'])
  if (code !== 0) throw new Error(`permafrost train ended with ${String(code)}:\n${stdout}${stderr}`)
  const trainingSeconds = (performance.now() - begun) / 1000

  const client = new ApiClient(url, key)
  const test = rows('test')
  const answers: Answer[] = []
  for (let from = 0; from < test.length; from += ROWS_PER_CALL) {
    const inputs = test.slice(from, from + ROWS_PER_CALL).map(({ input }) => input)
    const { results = [] } = await client.post<InferAnswer>('/v1/tasks/snips/infer', { inputs, scores: true })
    answers.push(...results)
  }
  const right = test.filter(({ target }, i) => answers[i]?.label === target).length
  return { accuracy: right / test.length, answers, trainingSeconds }
}

/** @returns one line. @throws Error when more than rounding differs */
export function compare (inside: SnipsRun, outside: SnipsRun): string {
  const labels = inside.answers.filter(({ label }, i) => label !== outside.answers[i]?.label).length
  const largest = Math.max(...inside.answers.flatMap(({ scores = {} }, i) => Object.entries(scores).map(([label, score]) => Math.abs(score - (outside.answers[i]?.scores?.[label] ?? Infinity)))))
  const line = `accuracy ${inside.accuracy.toFixed(4)} inside, ${outside.accuracy.toFixed(4)} outside; ${labels} of ${inside.answers.length} labels differ, largest difference of a probability ${largest.toExponential(1)}; trained in ${inside.trainingSeconds.toFixed(1)} s and ${outside.trainingSeconds.toFixed(1)} s`
  if (labels > 0 || largest > 1e-4) throw new Error(`not as outside: ${line}`)
  return line
}
