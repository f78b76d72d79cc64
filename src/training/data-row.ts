/** One row of a training or evaluation file. Fields that are not named here are allowed and ignored. */
import { type Static, Type } from '@sinclair/typebox'
import { TypeCompiler } from '@sinclair/typebox/compiler'
import { ServiceError } from '../errors.js'

export const DataRowSchema = Type.Object({
  /** The text, or the template's fields by name. */
  input: Type.Union([Type.String(), Type.Record(Type.String(), Type.String())]),
  /** The text the model is to write; of a classification row its label, when `label` is none of the task's labels. */
  target: Type.Optional(Type.String()),
  label: Type.Optional(Type.Union([Type.String(), Type.Number(), Type.Boolean()])),
  /** Accepted answers, for scoring; without a target the first is trained on. */
  references: Type.Optional(Type.Array(Type.String(), { minItems: 1 }))
})
export type DataRow = Static<typeof DataRowSchema>

const check = TypeCompiler.Compile(DataRowSchema)

/**
 * @param line its number in the file, from 1
 * @throws ServiceError `bad_line` with the line and the field
 */
export function parseDataRow (text: string, line: number): DataRow {
  const bad = (message: string, param?: string): ServiceError =>
    new ServiceError('bad_line', `line ${line}: ${message}`, param === undefined ? { line } : { line, param })
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    throw bad('not JSON')
  }
  if (value === null || typeof value !== 'object' || Array.isArray(value)) throw bad('not a JSON object')
  if (!check.Check(value)) {
    const error = check.Errors(value).First()
    const param = error?.path.slice(1) ?? ''
    throw bad(param === 'input' ? 'input must be a text or an object of texts' : `${param}: ${error?.message ?? 'not valid'}`, param)
  }
  if (isBlank(value.input)) throw bad('input is empty', 'input')
  if (value.target === undefined && value.label === undefined && value.references === undefined) throw bad('one of target, label, references is needed', 'target')
  return value
}

function isBlank (input: DataRow['input']): boolean {
  return typeof input === 'string' ? input.trim() === '' : Object.values(input).every(field => field.trim() === '')
}

/** What the model is to write; null when the row does not say. */
export function targetOf (row: DataRow): string | null {
  return row.target ?? row.references?.[0] ?? null
}

/** The row's label: `label` when it is one of the task's labels, else `target`; null when neither is. */
export function labelOf (row: DataRow, labels: ReadonlySet<string>): string | null {
  if (row.label !== undefined && labels.has(String(row.label))) return String(row.label)
  return row.target !== undefined && labels.has(row.target) ? row.target : null
}
