import { text as readAll } from 'node:stream/consumers'
import { parseArgs } from 'node:util'
import { ApiError, type ApiClient } from '../api-client.js'
import { outputOption } from '../output-option.js'
import { openClient } from '../running-service.js'
import { given, numberOption, positionals, UsageError, type Verb } from '../verb.js'
import type { Answer, InferAnswer } from '../wire-types.js'

const INPUTS_PER_CALL = 64

const OPTIONS = {
  json: { type: 'boolean', default: false },
  scores: { type: 'boolean', default: false },
  fields: { type: 'boolean', default: false },
  chat: { type: 'boolean', default: false },
  stream: { type: 'boolean', default: false },
  'max-tokens': { type: 'string' },
  temperature: { type: 'string' },
  'top-p': { type: 'string' },
  'top-k': { type: 'string' },
  'min-p': { type: 'string' },
  'repetition-penalty': { type: 'string' },
  'presence-penalty': { type: 'string' },
  'frequency-penalty': { type: 'string' },
  seed: { type: 'string' },
  n: { type: 'string' },
  'num-beams': { type: 'string' },
  'length-penalty': { type: 'string' },
  'early-stopping': { type: 'string' },
  stop: { type: 'string', multiple: true },
  logprobs: { type: 'string' },
  ensemble: { type: 'string' },
  output: { type: 'string' }
} as const

type Values = ReturnType<typeof parse>['values']

function parse (args: readonly string[]) {
  return parseArgs({ args: [...args], allowPositionals: true, options: OPTIONS })
}

export const verb: Verb = {
  usage: 'permafrost infer TASK[@VERSION] INPUT|- [--json]\n\n' +
    'With - the input is read from stdin: JSONL with input in each line gives JSONL, anything else is one text.\n' +
    '  --scores     the probability of each label      --fields    INPUT is a JSON object, the fields of the template\n' +
    '  --stream     print the text as it is made       --chat      the bare base: through its chat template\n' +
    '  --ensemble 3,5,7  these versions of the task answer together\n' +
    '  --max-tokens N  --temperature X  --top-p X  --top-k N  --min-p X  --seed N  --n N  --stop TEXT\n' +
    '  --repetition-penalty X  --presence-penalty X  --frequency-penalty X  --logprobs N (with --json)\n' +
    '  --num-beams N  --length-penalty X  --early-stopping true|false|never\n' +
    '  --output JSON|FILE  what the answer satisfies: {"json_schema": ...}, {"choices": [...]} or {"regex": "..."}',
  async run (args) {
    const { values, positionals: rest } = parse(args)
    const [reference, given] = positionals(rest, 'TASK', 'INPUT')
    const input = given === '-' ? await readAll(process.stdin) : given!
    const path = `/v1/tasks/${encodeURIComponent(reference!)}/infer`
    const options = await requestOptions(values)
    const lines = given === '-' ? jsonLines(input) : null
    const client = await openClient()
    if (lines !== null) return await many(client, path, lines, options)

    // The last line's end belongs to the shell, not to the text.
    const one = values.fields ? fieldsOf(input) : given === '-' ? input.replace(/\r?\n$/, '') : input
    if (values.stream) return await stream(client, path, one, options, values.json)
    const answer = await client.post<InferAnswer>(path, { input: one, ...options })
    if (values.json) console.log(JSON.stringify(answer))
    else show(answer)
    return 0
  }
}

async function requestOptions (values: Values): Promise<Record<string, unknown>> {
  return given({
    scores: values.scores || undefined,
    chat: values.chat || undefined,
    max_tokens: numberOption('max-tokens', values['max-tokens']),
    temperature: numberOption('temperature', values.temperature),
    top_p: numberOption('top-p', values['top-p']),
    top_k: numberOption('top-k', values['top-k']),
    min_p: numberOption('min-p', values['min-p']),
    repetition_penalty: numberOption('repetition-penalty', values['repetition-penalty']),
    presence_penalty: numberOption('presence-penalty', values['presence-penalty']),
    frequency_penalty: numberOption('frequency-penalty', values['frequency-penalty']),
    seed: numberOption('seed', values.seed),
    n: numberOption('n', values.n),
    num_beams: numberOption('num-beams', values['num-beams']),
    length_penalty: numberOption('length-penalty', values['length-penalty']),
    early_stopping: earlyStopping(values['early-stopping']),
    stop: values.stop,
    logprobs: numberOption('logprobs', values.logprobs),
    ensemble: values.ensemble?.split(',').map(version => numberOption('ensemble', version)),
    output: await outputOption(values.output)
  })
}

function earlyStopping (text: string | undefined): boolean | 'never' | undefined {
  switch (text) {
    case undefined: case 'never': return text
    case 'true': return true
    case 'false': return false
    default: throw new UsageError(`--early-stopping takes true, false or never, not "${text}"`)
  }
}

function fieldsOf (text: string): object {
  const value = parsedObject(text)
  if (value === null) throw new UsageError('with --fields INPUT is a JSON object')
  return value
}

/** The objects of a JSONL text; null when it is none, and so a text to answer. */
function jsonLines (text: string): Array<{ input?: unknown }> | null {
  const lines = text.split('\n').filter(line => line.trim() !== '')
  const objects = lines.map(parsedObject)
  return lines.length > 0 && objects.every(object => object !== null && 'input' in object) ? objects as Array<{ input?: unknown }> : null
}

function parsedObject (text: string): object | null {
  try {
    const value = JSON.parse(text) as unknown
    return value !== null && typeof value === 'object' && !Array.isArray(value) ? value : null
  } catch {
    return null
  }
}

/** One line out for each line in, with the fields it came with; the exit code says whether every line got an answer. */
async function many (client: ApiClient, path: string, lines: ReadonlyArray<{ input?: unknown }>, options: object): Promise<number> {
  let failed = false
  for (let from = 0; from < lines.length; from += INPUTS_PER_CALL) {
    const part = lines.slice(from, from + INPUTS_PER_CALL)
    const { results = [], version, digest, ensemble } = await client.post<InferAnswer>(path, { inputs: part.map(line => line.input), ...options })
    results.forEach((result, i) => {
      failed ||= result.error !== undefined
      console.log(JSON.stringify({ ...part[i], ...result, version, digest, ensemble }))
    })
  }
  return failed ? 1 : 0
}

async function stream (client: ApiClient, path: string, input: unknown, options: object, json: boolean): Promise<number> {
  for await (const { event, data } of client.postForEvents(path, { input, ...options, stream: true })) {
    if (event === 'error') throw new ApiError(200, (data as { error: { code: string, message: string } }).error)
    if (json) console.log(JSON.stringify({ event, data }))
    else if (event === 'text') process.stdout.write((data as { text: string }).text)
  }
  if (!json) process.stdout.write('\n')
  return 0
}

function show ({ label, text, choices, scores }: Answer): void {
  for (const line of choices?.map(choice => choice.text) ?? [label ?? text ?? '']) console.log(line)
  for (const [name, probability] of Object.entries(scores ?? {}).sort(([, a], [, b]) => b - a)) console.log(`  ${probability.toFixed(4)}  ${name}`)
}
