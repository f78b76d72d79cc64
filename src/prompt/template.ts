/** How the fields of an input become the text in front of the answer. */
import { ServiceError } from '../errors.js'
import type { TaskKind } from './task-spec.js'

/** The answer follows the last character. */
export const DEFAULT_TEMPLATES: Readonly<Record<TaskKind, string>> = { classification: '{input}\nLabel:', generation: '{input}\n' }

/** What a request gives for a template: a text when there is one field, otherwise a text for each. */
export type TemplateInput = string | Readonly<Record<string, string>>

export interface Template {
  /** Literal texts and fields in order. */
  readonly parts: ReadonlyArray<string | { readonly field: string }>
  /** Distinct field names, in order of appearance. */
  readonly fields: readonly string[]
}

const FIELD_NAME = /^[A-Za-z_][A-Za-z0-9_]{0,63}$/
const MAX_FIELDS = 32

/**
 * `{name}` is a field, `{{` and `}}` are braces.
 * @throws ServiceError invalid_request at `template`
 */
export function parseTemplate (template: string): Template {
  const parts: Array<string | { field: string }> = []
  let literal = ''
  for (let at = 0; at < template.length;) {
    const two = template.slice(at, at + 2)
    if (two === '{{' || two === '}}') {
      literal += two[0]
      at += 2
    } else if (template[at] === '{') {
      const end = template.indexOf('}', at)
      if (end < 0) throw badTemplate(`the brace at character ${at + 1} is not closed; write {{ for a brace`)
      const field = template.slice(at + 1, end)
      if (!FIELD_NAME.test(field)) throw badTemplate(`${JSON.stringify(field.slice(0, 80))} is not a field name (letters, digits and _, at most 64); write {{ for a brace`)
      if (literal !== '') parts.push(literal)
      literal = ''
      parts.push({ field })
      at = end + 1
    } else if (template[at] === '}') {
      throw badTemplate(`the brace at character ${at + 1} closes nothing; write }} for a brace`)
    } else {
      literal += template[at++]
    }
  }
  if (literal !== '') parts.push(literal)
  const fields = [...new Set(parts.flatMap(part => typeof part === 'string' ? [] : [part.field]))]
  if (fields.length === 0) throw badTemplate('it has no field such as {input}')
  if (fields.length > MAX_FIELDS) throw badTemplate(`it has ${fields.length} fields, limit ${MAX_FIELDS}`)
  return { parts, fields }
}

function badTemplate (reason: string): ServiceError {
  return new ServiceError('invalid_request', `template: ${reason}`, { param: 'template' })
}

/**
 * The text in front of the answer.
 * @throws ServiceError invalid_request at `input/FIELD`; empty_input when every field is blank
 */
export function renderTemplate (template: string, input: TemplateInput): string {
  const { parts, fields } = parseTemplate(template)
  const values = fieldValues(fields, input)
  if (fields.every(field => values.get(field)!.trim() === '')) throw new ServiceError('empty_input', 'the input is empty', { param: 'input' })
  return parts.map(part => typeof part === 'string' ? part : values.get(part.field)!).join('')
}

function fieldValues (fields: readonly string[], input: TemplateInput): ReadonlyMap<string, string> {
  if (typeof input === 'string') {
    if (fields.length === 1) return new Map([[fields[0]!, input]])
    throw new ServiceError('invalid_request', `input must be an object with the fields ${fields.join(', ')}: the template has ${fields.length}`, { param: 'input' })
  }
  if (typeof input !== 'object' || input === null || Array.isArray(input)) {
    throw new ServiceError('invalid_request', 'input must be a text, or an object with a text for each field', { param: 'input' })
  }
  for (const field of Object.keys(input)) {
    if (!fields.includes(field)) throw new ServiceError('invalid_request', `the template has no field ${JSON.stringify(field.slice(0, 80))}; it has ${fields.join(', ')}`, { param: `input/${field.slice(0, 80)}` })
  }
  return new Map(fields.map(field => {
    const value: unknown = Object.hasOwn(input, field) ? input[field] : undefined
    if (typeof value !== 'string') {
      throw new ServiceError('invalid_request', value === undefined ? `the field ${field} is missing` : `the field ${field} must be a text`, { param: `input/${field}` })
    }
    return [field, value]
  }))
}
