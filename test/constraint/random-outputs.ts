/** Outputs of all kinds for tests and the benchmark: everything that is supported, in random combinations. */
import type { Output } from '../../src/constraint/output.js'
import type { Below } from './following.js'

const WORDS = ['name', 'city', 'price', 'tags', 'kind', 'größe', 'a "quote"', 'x', 'is_open', 'back\\slash', '日付', '😀', 'id', 'note', 'count', 'parts']
const PATTERNS = ['^[A-Z]{2,3}-\\d+$', '^\\w+@\\w+\\.(com|org)$', '^(19|20)\\d{2}-(0[1-9]|1[0-2])$', 'needle', '^[^aeiou"]{1,8}$', '^(yes|no)?$']
const REGEXES = [
  '\\d{3}-\\d{4}', '(yes|no|maybe)( \\w{1,8}){0,3}', '[A-Z][a-z]{1,12}( [A-Z][a-z]{1,12}){0,2}\\.', '(-?\\d{1,3}(\\.\\d{1,2})?)', '#[0-9a-f]{6}', '[äöü]{1,4}!?',
  '\\((\\d{1,3}, ){0,3}\\d{1,3}\\)', '[^\\n]{5,40}', '(?:ab|a)(?:c|bcd)?', '"[^"\\\\]{0,20}"'
]

export function randomOutput (below: Below): Output {
  switch (below(10)) {
    case 0: return { choices: randomChoices(below) }
    case 1: return { regex: REGEXES[below(REGEXES.length)]! }
    default: return { json_schema: randomSchema(below) }
  }
}

function randomChoices (below: Below): string[] {
  return [...new Set(Array.from({ length: 2 + below(6) }, () => Array.from({ length: 1 + below(3) }, () => WORDS[below(WORDS.length)]!).join(' ')))]
}

/** An object as a task would ask for it. */
export function randomSchema (below: Below): Record<string, unknown> {
  return { $schema: 'http://json-schema.org/draft-07/schema#', ...objectSchema(below, 2), definitions: { code: { type: 'string', pattern: '^[a-f0-9]{4}$' } } }
}

function objectSchema (below: Below, depth: number): Record<string, unknown> {
  const names = [...new Set(Array.from({ length: 1 + below(4) }, () => WORDS[below(WORDS.length)]!))]
  return {
    type: 'object',
    properties: Object.fromEntries(names.map(name => [name, valueSchema(below, depth)])),
    required: names.filter(() => below(3) > 0),
    ...(below(2) === 0 ? { additionalProperties: false } : {}),
    ...(below(4) === 0 ? { title: 'made at random' } : {})
  }
}

function valueSchema (below: Below, depth: number): Record<string, unknown> {
  switch (below(depth > 0 ? 12 : 9)) {
    case 0: return { type: 'string', ...(below(2) === 0 ? { minLength: below(3), maxLength: 3 + below(20) } : {}) }
    case 1: return { type: 'string', pattern: PATTERNS[below(PATTERNS.length)]! }
    case 2: return { type: 'integer', ...integerBounds(below) }
    case 3: return { type: 'number', minimum: -below(200), maximum: below(2000) }
    case 4: return { type: 'boolean' }
    case 5: return { enum: ['low', 'high', below(100), null, true, { a: [1, 'b'] }].slice(0, 2 + below(5)) }
    case 6: return { const: below(2) === 0 ? WORDS[below(WORDS.length)]! : -1.5 }
    case 7: return { type: ['string', 'null'], maxLength: 5 + below(10) }
    case 8: return { $ref: '#/definitions/code' }
    case 9: return objectSchema(below, depth - 1)
    case 10: return { type: 'array', items: valueSchema(below, depth - 1), minItems: below(2), maxItems: 2 + below(3) }
    default: return below(2) === 0
      ? { anyOf: [valueSchema(below, depth - 1), { type: 'null' }] }
      : { type: 'object', additionalProperties: valueSchema(below, depth - 1) }
  }
}

function integerBounds (below: Below): Record<string, number> {
  switch (below(4)) {
    case 0: return {}
    case 1: return { minimum: -below(50) - 0.5, exclusiveMaximum: 1 + below(5000) }
    case 2: return { exclusiveMinimum: below(900), maximum: 1000 + below(12_345) }
    default: return { minimum: -below(20_000) - 100, maximum: -below(100) }
  }
}
