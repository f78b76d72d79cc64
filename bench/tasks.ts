/**
 * `npm run bench -- tasks [set ...] [--json]`: what the defaults reach on real data through the whole service: upload,
 * train, publish, serve. Classification is compared with the base asked through its chat template, table-to-text with
 * the base continuing the same text. Each finished set is written at once and stands beside what earlier runs wrote of
 * the others, so a long run can be stopped and gone on with.
 */
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import type { ApiClient } from '../src/cli/api-client.js'
import { loadConfig } from '../src/config.js'
import { accuracy } from '../src/metrics/accuracy.js'
import { corpusBleu } from '../src/metrics/bleu.js'
import { dataFolder } from './data-folder.js'
import { defaultBaseSource } from './default-base.js'
import { BenchFailure } from './failure.js'
import { readReport, type Table, report } from './report.js'
import { type BenchService, startBenchService } from './service.js'
import { readRows } from './texts.js'

interface TaskSet {
  readonly name: string
  readonly kind: 'classification' | 'generation'
  /** Rows of the train split; absent: all. */
  readonly rows?: number
  /** What another implementation reached, and what is wanted of this one, in percent or BLEU points. */
  readonly torch: number
  readonly wanted: number
}

const SETS: readonly TaskSet[] = [
  { name: 'snips', kind: 'classification', rows: 1000, torch: 94.2, wanted: 94 },
  { name: 'trec', kind: 'classification', torch: 96.9, wanted: 95.5 },
  { name: 'sst2', kind: 'classification', rows: 2000, torch: 91.2, wanted: 90 },
  { name: 'e2e', kind: 'generation', rows: 1000, torch: 54.2, wanted: 52 }
]
const DEFAULT_SETS = ['trec', 'sst2', 'e2e']

const INPUTS_AT_ONCE = 64
const MAX_TOKENS = 64
/** As the baseline: the first distinct inputs of the test split. */
const GENERATION_INPUTS = 80

interface Row { readonly input: string, readonly target: string, readonly references?: readonly string[] }
interface Outcome { readonly label?: string, readonly text?: string, readonly error?: { readonly code: string, readonly message: string } }
interface Score { readonly model: string, readonly measuredAt: string, readonly set: string, readonly metric: string, readonly base: number, readonly tuned: number, readonly torch: number, readonly wanted: number, readonly minutes: number, readonly rowsSeen: number, readonly steps: number, readonly testRows: number, readonly validation: unknown }

async function inferAll (client: ApiClient, task: string, inputs: readonly string[], options: object): Promise<string[]> {
  const answers: string[] = []
  for (let i = 0; i < inputs.length; i += INPUTS_AT_ONCE) {
    const { results } = await client.post<{ results: Outcome[] }>(`/v1/tasks/${task}/infer`, { inputs: inputs.slice(i, i + INPUTS_AT_ONCE), ...options })
    for (const { label, text, error } of results) {
      if (error !== undefined) throw new Error(`${task}: ${error.code}: ${error.message}`)
      answers.push(label ?? text ?? '')
    }
  }
  return answers
}

/** The label that the answer begins with, the longest of several; none counts as wrong. */
function labelOf (answer: string, labels: readonly string[]): string {
  const text = answer.trim().toLowerCase().replace(/^["'*]+/, '')
  return [...labels].sort((a, b) => b.length - a.length).find(label => text.startsWith(label.toLowerCase())) ?? ''
}

async function zeroShot (client: ApiClient, base: string, test: readonly Row[], labels: readonly string[]): Promise<number> {
  const question = (text: string): string => `Classify the text into one of: ${labels.join(', ')}. Answer with the label only.\n\nText: ${text}`
  const answers = await inferAll(client, base, test.map(row => question(row.input)), { chat: true, max_tokens: 16 })
  return 100 * accuracy(answers.map(answer => labelOf(answer, labels)), test.map(row => row.target))
}

const isLast = ({ data }: { readonly data: unknown }): boolean => ['succeeded', 'failed', 'cancelled'].includes((data as { state?: string }).state ?? '')

async function trainTask (client: ApiClient, set: TaskSet, training: readonly Row[], labels: readonly string[] | null): Promise<{ minutes: number, steps: number, rowsSeen: number, validation: unknown }> {
  await client.post('/v1/tasks', { name: set.name, kind: set.kind, ...labels === null ? {} : { labels } })
  const file = await client.upload<{ id: string }>(`/v1/files?name=${set.name}.jsonl`, Buffer.from(training.map(row => JSON.stringify(row)).join('\n') + '\n'), 'application/jsonl')
  const begun = performance.now()
  const job = await client.post<{ id: string, recipe: { max_steps: number, batch_size: number } }>('/v1/training-jobs', { task: set.name, training_file: file.id })
  let validation: unknown = null
  for await (const { event, data } of client.follow(`/v1/training-jobs/${job.id}/events`, isLast)) {
    if (event === 'evaluation') {
      const { step, metrics, best } = data as { step: number, metrics: unknown, best: boolean }
      process.stderr.write(`${set.name}: step ${step} of ${job.recipe.max_steps} ${JSON.stringify(metrics)}\n`)
      if (best) validation = metrics
    }
    if (event === 'error') throw new Error(`${set.name}: ${JSON.stringify(data)}`)
  }
  return { minutes: (performance.now() - begun) / 60_000, steps: job.recipe.max_steps, rowsSeen: job.recipe.max_steps * job.recipe.batch_size, validation }
}

async function classification (client: ApiClient, base: string, set: TaskSet, training: readonly Row[], test: readonly Row[]): Promise<Score> {
  const labels = [...new Set(training.map(row => row.target))].sort()
  const before = await zeroShot(client, base, test, labels)
  const run = await trainTask(client, set, training, labels)
  const answers = await inferAll(client, set.name, test.map(row => row.input), {})
  return { model: base, measuredAt: new Date().toISOString(), set: set.name, metric: 'accuracy %', base: before, tuned: 100 * accuracy(answers, test.map(row => row.target)), torch: set.torch, wanted: set.wanted, testRows: test.length, ...run }
}

async function generation (client: ApiClient, base: string, set: TaskSet, training: readonly Row[], rows: readonly Row[]): Promise<Score> {
  const test = rows.slice(0, GENERATION_INPUTS)
  const references = test.map(row => row.references ?? [row.target])
  const options = { max_tokens: MAX_TOKENS, temperature: 0 }
  const before = corpusBleu(await inferAll(client, base, test.map(row => `${row.input}\n`), options), references)
  const run = await trainTask(client, set, training, null)
  const after = corpusBleu((await inferAll(client, set.name, test.map(row => row.input), options)).map(text => text.trim()), references)
  return { model: base, measuredAt: new Date().toISOString(), set: set.name, metric: 'BLEU', base: before, tuned: after, torch: set.torch, wanted: set.wanted, testRows: test.length, ...run }
}

function table (base: string, scores: readonly Score[]): Table {
  return {
    title: `Tasks on ${base}, defaults, through the service`,
    columns: ['set', 'metric', 'base without prompt', 'tuned', 'torch', 'wanted', 'minutes', 'steps', 'rows seen', 'test rows', 'measured'],
    rows: scores.map(score => [score.set, score.metric, score.base.toFixed(1), score.tuned.toFixed(1), score.torch, `>= ${score.wanted}`, score.minutes.toFixed(1), score.steps, score.rowsSeen, score.testRows, score.measuredAt.slice(0, 16)])
  }
}

/** What earlier runs wrote of other sets on the same base. */
function earlierScores (base: string, sets: readonly TaskSet[]): Score[] {
  const earlier = (readReport('tasks') ?? []) as Score[]
  return earlier.filter(score => score.model === base && !sets.some(set => set.name === score.set))
}

function setNamed (name: string): TaskSet {
  const set = SETS.find(candidate => candidate.name === name)
  if (set === undefined) throw new BenchFailure(`no set "${name}"; there are ${SETS.map(candidate => candidate.name).join(', ')}`)
  return set
}

export async function tasks (args: string[]): Promise<void> {
  const { values: { json }, positionals } = parseArgs({ args, options: { json: { type: 'boolean', default: false } }, allowPositionals: true })
  const wanted = positionals.length === 0 ? DEFAULT_SETS : positionals
  const sets = wanted.map(setNamed)
  const config = loadConfig(process.env)
  const data = dataFolder(config)
  const service: BenchService = await startBenchService(await defaultBaseSource(config))
  try {
    const { client } = service
    const { data: [base] } = await client.get<{ data: Array<{ name: string }> }>('/v1/bases')
    const scores = earlierScores(base!.name, sets)
    for (const set of sets) {
      const folder = join(data, set.name)
      const training = (readRows(join(folder, 'train.jsonl')) as Row[]).slice(0, set.rows)
      const test = readRows(join(folder, 'test.jsonl')) as Row[]
      const measure = set.kind === 'classification' ? classification : generation
      scores.push(await measure(client, base!.name, set, training, test))
      report('tasks', [table(base!.name, scores)], scores, json)
    }
  } finally {
    await service.stop()
  }
}
