/**
 * From the lines of an uploaded file to tokenized rows. Files were checked line by line when they were uploaded and for
 * the task when the job was made, so an error here is rare; it still names its line.
 */
import { MalformedModelError, ServiceError } from '../src/errors.js'
import type { Tokenizer } from '../src/model/tokenizer.js'
import type { TaskSpec } from '../src/prompt/task-spec.js'
import { renderTemplate, type TemplateInput } from '../src/prompt/template.js'
import type { Example } from './example.js'
import { createRandom, shuffled } from './random.js'

/** Fewest input tokens that a cut leaves in front of a target. */
const MIN_INPUT_TOKENS = 1

export interface RowOptions {
  readonly spec: TaskSpec
  readonly tokenizer: Tokenizer
  /** Ends every target. Null: the base names none. */
  readonly endTokenId: number | null
  /** Tokens of a row at most; what is too much is cut from the left of the input. */
  readonly maxLength: number
  /** Field of the request that named the file, for errors. */
  readonly param: string
}

interface Row { readonly input: TemplateInput, readonly target?: string, readonly label?: string | number | boolean, readonly references?: readonly string[] }

/** @throws ServiceError `empty_file`, `bad_line`, `unknown_label`, `invalid_request` for a target that leaves no room, each with its line */
export function readExamples (file: Uint8Array, options: RowOptions): Example[] {
  const labels = new Map(options.spec.verbalizer?.labels.map((label, i) => [label.name, i]))
  const examples: Example[] = []
  new TextDecoder().decode(file).split('\n').forEach((text, i) => {
    if (text.trim() === '') return
    const row = parseRow(text, i + 1, options.param)
    examples.push(options.spec.verbalizer === null ? generationExample(row, i + 1, options) : classificationExample(row, i + 1, labels, options))
  })
  if (examples.length === 0) throw new ServiceError('empty_file', `${options.param} has no rows`, { param: options.param })
  return examples
}

function parseRow (text: string, line: number, param: string): Row {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (cause) {
    throw new ServiceError('bad_line', `line ${line} of ${param} is not JSON`, { param, line, cause })
  }
  if (value === null || typeof value !== 'object' || Array.isArray(value)) throw new ServiceError('bad_line', `line ${line} of ${param} is not a JSON object`, { param, line })
  return value as Row
}

function classificationExample (row: Row, line: number, labels: ReadonlyMap<string, number>, options: RowOptions): Example {
  const label = (row.label === undefined ? undefined : labels.get(String(row.label))) ?? (row.target === undefined ? undefined : labels.get(row.target))
  if (label === undefined) throw new ServiceError('unknown_label', `line ${line} of ${options.param}: its label is none of the task's ${labels.size} labels`, { param: options.param, line })
  const ids = cutLeft(inputIds(row, line, options), options.maxLength, options)
  return { ids, targetStart: ids.length, label }
}

function generationExample (row: Row, line: number, options: RowOptions): Example {
  const target = row.target ?? row.references?.[0] ?? ''
  if (target === '') throw new ServiceError('bad_line', `line ${line} of ${options.param}: a generation task needs target or references`, { param: options.param, line })
  if (options.endTokenId === null) throw new MalformedModelError('the base names no end token, so a prompt cannot learn where an answer ends')
  // Control tokens that a target spells out are plain text; the end token is the only one.
  const answer = [...options.tokenizer.encode(target, { addSpecial: false }), options.endTokenId]
  const room = options.maxLength - answer.length
  if (room < MIN_INPUT_TOKENS) {
    throw new ServiceError('invalid_request', `line ${line} of ${options.param}: its target of ${answer.length} tokens leaves no room for an input within max_length ${options.maxLength}`, { param: 'recipe/max_length', line })
  }
  const ids = cutLeft(inputIds(row, line, options), room, options)
  return { ids: [...ids, ...answer], targetStart: ids.length, label: null }
}

function inputIds (row: Row, line: number, { spec, tokenizer, param }: RowOptions): number[] {
  const ids = tokenizer.encode(render(row, line, spec.template, param))
  if (ids.length === 0) throw new ServiceError('bad_line', `line ${line} of ${param}: the input has no tokens`, { param, line })
  return ids
}

function render ({ input }: Row, line: number, template: string, param: string): string {
  try {
    return renderTemplate(template, input)
  } catch (error) {
    if (!(error instanceof ServiceError)) throw error
    throw new ServiceError('bad_line', `line ${line} of ${param}: ${error.message}`, { param: error.param ?? param, line })
  }
}

/** The tokens that the tokenizer puts in front of every text stay. */
function cutLeft (ids: readonly number[], room: number, { tokenizer }: RowOptions): readonly number[] {
  if (ids.length <= room) return ids
  const leading = tokenizer.encode('')
  const kept = leading.length < room && leading.every((id, i) => ids[i] === id) ? leading : []
  return [...kept, ...ids.slice(ids.length - (room - kept.length))]
}

/** @throws ServiceError `one_label` when all rows of a classification task have the same label */
export function requireTwoLabels (examples: readonly Example[], spec: TaskSpec, param: string): void {
  const seen = new Set(examples.map(example => example.label))
  if (spec.verbalizer === null || seen.size > 1) return
  const name = spec.verbalizer.labels[examples[0]!.label!]!.name
  throw new ServiceError('one_label', `every row of ${param} has the label ${JSON.stringify(name)}; at least two are needed`, { param })
}

/** Take `count` rows off by the seed, both parts in file order; a single row validates itself. */
export function splitValidation (examples: readonly Example[], count: number, seed: number): { training: Example[], validation: Example[] } {
  if (examples.length === 1) return { training: [...examples], validation: [...examples] }
  const chosen = new Set(shuffled([...examples.keys()], createRandom(seed, SPLIT_STREAM)).slice(0, count))
  return {
    training: examples.filter((_, i) => !chosen.has(i)),
    validation: examples.filter((_, i) => chosen.has(i))
  }
}

const SPLIT_STREAM = 1
