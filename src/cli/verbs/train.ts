import { basename } from 'node:path'
import { parseArgs } from 'node:util'
import { METHODS } from '../../prompt/methods.js'
import { FINAL_STATES, type JobEvent } from '../../training/job.js'
import { ApiError, type ApiClient } from '../api-client.js'
import { type DataFile, readDataFile } from '../data-file.js'
import { jobDisplay } from '../job-display.js'
import { outputOption } from '../output-option.js'
import { openClient } from '../running-service.js'
import { taskFromData } from '../task-from-data.js'
import { given, numberOption, positionals, UsageError, type Verb } from '../verb.js'
import type { Job, Task } from '../wire-types.js'

const OPTIONS = {
  task: { type: 'string' },
  validation: { type: 'string' },
  method: { type: 'string' },
  'virtual-tokens': { type: 'string' },
  init: { type: 'string' },
  set: { type: 'string', multiple: true, default: [] as string[] },
  alias: { type: 'string' },
  'no-publish': { type: 'boolean', default: false },
  kind: { type: 'string' },
  template: { type: 'string' },
  output: { type: 'string' },
  watch: { type: 'boolean', default: false },
  json: { type: 'boolean', default: false }
} as const

type Values = ReturnType<typeof parse>['values']

function parse (args: readonly string[]) {
  return parseArgs({ args: [...args], allowPositionals: true, options: OPTIONS })
}

export const verb: Verb = {
  usage: 'permafrost train DATA --task T [--method M] [--validation FILE] [--watch] [--json]\n\n' +
    'DATA is JSONL with input, and label or target. A new task is made from it; --kind and --template say otherwise.\n' +
    `  --method M            ${METHODS.join(' or ')}\n` +
    '  --virtual-tokens N    --init random|vocabulary|text\n' +
    '  --set name=value      a hyper-parameter by its name, for example learning_rate=0.005 (repeat for more)\n' +
    '  --alias NAME          the alias that moves to the new version (production); --no-publish moves none\n' +
    '  --output JSON|FILE    of a new task: what each answer satisfies, {"json_schema": ...}, {"choices": [...]} or {"regex": "..."}\n' +
    '  --watch               follow the job to its end; the exit code says whether it succeeded',
  async run (args) {
    const { values, positionals: rest } = parse(args)
    const [path] = positionals(rest, 'DATA')
    if (values.task === undefined) throw new UsageError('--task is missing')
    const options = jobOptions(values)
    const output = await outputOption(values.output)
    const data = await readDataFile(path!)
    const validation = values.validation === undefined ? null : await readDataFile(values.validation)
    const client = await openClient()
    await ensureTask(client, values.task, data, values, output)
    const job = await client.post<Job>('/v1/training-jobs', {
      task: values.task,
      training_file: await upload(client, path!, data),
      ...validation === null ? {} : { validation_file: await upload(client, values.validation!, validation) },
      ...options
    })
    if (!values.watch) {
      console.log(values.json ? JSON.stringify(job) : `${job.id} is ${job.state}`)
      return 0
    }
    if (!values.json) console.error(`${job.id}: ${job.method.type} with ${job.method.num_virtual_tokens} virtual tokens on ${data.rows.length} rows`)
    return await watch(client, job, values.json)
  }
}

/** The request's method, recipe and publish. */
function jobOptions (values: Values): Record<string, unknown> {
  const tokens = numberOption('virtual-tokens', values['virtual-tokens'])
  if (values.method === undefined && (tokens !== undefined || values.init !== undefined)) throw new UsageError('--virtual-tokens and --init go with --method')
  if (values['no-publish'] && values.alias !== undefined) throw new UsageError('--alias and --no-publish exclude each other')
  const recipe = Object.fromEntries(values.set.map(setting => {
    const [name, value] = setting.split('=', 2)
    if (value === undefined) throw new UsageError(`--set takes name=value, not "${setting}"`)
    return [name, value.trim() === '' || Number.isNaN(Number(value)) ? value : Number(value)]
  }))
  return given({
    method: values.method === undefined ? undefined : given({ type: values.method, num_virtual_tokens: tokens, init: values.init === undefined ? undefined : { type: values.init } }),
    recipe: values.set.length === 0 ? undefined : recipe,
    publish: values['no-publish'] ? false : values.alias === undefined ? undefined : { alias: values.alias }
  })
}

async function ensureTask (client: ApiClient, name: string, data: DataFile, values: Values, output: object | undefined): Promise<void> {
  try {
    await client.get<Task>(`/v1/tasks/${encodeURIComponent(name)}`)
    if (values.kind !== undefined || values.template !== undefined || output !== undefined) throw new UsageError(`the task ${name} exists, so its kind, template and output are chosen`)
    return
  } catch (error) {
    if (!(error instanceof ApiError) || error.code !== 'task_not_found') throw error
  }
  const guessed = values.kind === 'generation' ? { kind: 'generation', labels: null } : taskFromData(data.rows)
  if (values.kind !== undefined && values.kind !== guessed.kind) throw new UsageError(`--kind ${values.kind}: the rows have no labels for that`)
  const task = await client.post<Task>('/v1/tasks', given({ name, kind: guessed.kind, labels: guessed.labels ?? undefined, template: values.template, output }))
  const labels = task.labels === null ? '' : `, ${task.labels.length} labels: ${task.labels.map(label => label.name).join(', ')}`
  console.error(`new task ${name}: ${task.kind}, template ${JSON.stringify(task.template)}${labels}`)
}

async function upload (client: ApiClient, path: string, { bytes }: DataFile): Promise<string> {
  return (await client.upload<{ id: string }>(`/v1/files?name=${encodeURIComponent(basename(path))}`, bytes, 'application/jsonl')).id
}

async function watch (client: ApiClient, job: Job, json: boolean): Promise<number> {
  const display = jobDisplay(process.stderr)
  let last: JobEvent | null = null
  for await (const { data } of client.follow(`/v1/training-jobs/${job.id}/events`, ({ data }) => isFinal(data as JobEvent))) {
    last = data as JobEvent
    if (json) console.log(JSON.stringify(last))
    else display.show(last)
  }
  display.end()
  const finished = await client.get<Job>(`/v1/training-jobs/${job.id}`)
  if (json) console.log(JSON.stringify(finished))
  else if (finished.error !== null) console.error(`${finished.error.code}: ${finished.error.message}`)
  return last?.type === 'state' && last.state === 'succeeded' ? 0 : 1
}

function isFinal (event: JobEvent): boolean {
  return event.type === 'state' && FINAL_STATES.includes(event.state)
}
