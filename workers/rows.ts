/**
 * From the lines of an uploaded file to tokenized rows. Files were checked line by line when they were uploaded and for
 * the task when the job was made, so an error here is rare; it still names its line.
 */
import { MalformedModelError, ServiceError } from '../src/errors.js'
import type { Tokenizer } from '../src/model/tokenizer.js'
import type { TaskSpec } from '../src/prompt/task-spec.js'
import { parseTemplate } from '../src/prompt/template.js'
import { parseDataRow } from '../src/training/data-row.js'
import { taskRowReader } from '../src/training/task-row.js'
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

/** @throws ServiceError `empty_file`, `bad_line`, `unknown_label`, `invalid_request` for a target that leaves no room, each with its line */
export function readExamples (file: Uint8Array, options: RowOptions): Example[] {
  const { spec, param } = options
  const labels = spec.verbalizer?.labels.map(label => label.name)
  const read = taskRowReader(spec, param)
  const around = tokensAround(options)
  const examples: Example[] = []
  new TextDecoder().decode(file).split('\n').map(line => line.trim()).forEach((line, i) => {
    if (line === '') return
    const number = i + 1
    const { text, answer } = read(parseDataRow(line, number), number)
    const ids = inputIds(text, number, options)
    const example = labels === undefined ? generationExample(ids, answer, number, options) : classificationExample(ids, labels.indexOf(answer), options)
    examples.push({ ...example, input: [around.before, Math.max(around.before, example.targetStart - around.after)] })
  })
  if (examples.length === 0) throw new ServiceError('empty_file', `${param} has no rows`, { param })
  return examples
}

/** How many tokens the tokenizer and the template put in front of the input, and how many the template puts behind it. */
function tokensAround ({ spec, tokenizer }: RowOptions): { before: number, after: number } {
  const { parts } = parseTemplate(spec.template)
  const [start, end] = [parts[0], parts.at(-1)].map(part => typeof part === 'string' ? part : '') as [string, string]
  return { before: tokenizer.encode(start).length, after: tokenizer.encode(end, { addSpecial: false }).length }
}

function classificationExample (input: readonly number[], label: number, options: RowOptions): Example {
  const ids = cutLeft(input, options.maxLength, options)
  return { ids, targetStart: ids.length, label }
}

function generationExample (input: readonly number[], target: string, line: number, options: RowOptions): Example {
  if (options.endTokenId === null) throw new MalformedModelError('the base names no end token, so a prompt cannot learn where an answer ends')
  // Control tokens that a target spells out are plain text; the end token is the only one.
  const answer = [...options.tokenizer.encode(target, { addSpecial: false }), options.endTokenId]
  const room = options.maxLength - answer.length
  if (room < MIN_INPUT_TOKENS) {
    throw new ServiceError('invalid_request', `line ${line} of ${options.param}: its target of ${answer.length} tokens leaves no room for an input within max_length ${options.maxLength}`, { param: 'recipe/max_length', line })
  }
  const ids = cutLeft(input, room, options)
  return { ids: [...ids, ...answer], targetStart: ids.length, label: null }
}

function inputIds (text: string, line: number, { tokenizer, param }: RowOptions): number[] {
  const ids = tokenizer.encode(text)
  if (ids.length === 0) throw new ServiceError('bad_line', `line ${line} of ${param}: the input has no tokens`, { param, line })
  return ids
}

/** The tokens that the tokenizer puts in front of every text stay. */
function cutLeft (ids: readonly number[], room: number, { tokenizer }: RowOptions): readonly number[] {
  if (ids.length <= room) return ids
  const leading = tokenizer.encode('')
  const kept = leading.length < room && leading.every((id, i) => ids[i] === id) ? leading : []
  return [...kept, ...ids.slice(ids.length - (room - kept.length))]
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
