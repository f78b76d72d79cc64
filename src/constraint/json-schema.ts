/**
 * JSON schemas as grammars. An answer is written the one way `JSON.stringify` writes it, with its properties in the
 * order of the schema, but for a space that may follow a colon or a comma; no free whitespace, so none can go on for
 * ever. What is not understood is refused by its name and never left out, so that an answer of the grammar satisfies
 * the schema.
 */
import { ANY_CHARACTER } from './characters.js'
import { character, either, type Grammar, optional, repeat, sequence, text } from './grammar.js'
import { quoted } from './json-text.js'
import { integersBetween, LARGEST, MAX_DIGITS, numbersBetween } from './number-text.js'
import { refusedOutput } from './output.js'
import { matchAnywhere, RegexError } from './regex.js'

const MAX_NESTING = 32
/** Schemas after every reference was followed. */
const MAX_SCHEMAS = 5000

const TYPES = ['string', 'integer', 'number', 'boolean', 'null', 'array', 'object'] as const
type TypeName = typeof TYPES[number]

/** Say nothing about an answer. */
const ANNOTATIONS = ['title', 'description', 'default', 'examples', 'deprecated', 'readOnly', 'writeOnly', '$comment']
const ROOT_ONLY = ['$schema', '$id', '$defs', 'definitions']
const BOUNDS = ['minimum', 'maximum', 'exclusiveMinimum', 'exclusiveMaximum']
const KEYWORDS: Readonly<Record<TypeName, readonly string[]>> = {
  string: ['minLength', 'maxLength', 'pattern'],
  integer: BOUNDS,
  number: BOUNDS,
  boolean: [],
  null: [],
  array: ['items', 'minItems', 'maxItems'],
  object: ['properties', 'required', 'additionalProperties']
}

const COMMA = sequence(text(','), optional(text(' ')))
const COLON = sequence(text(':'), optional(text(' ')))
const ANY_STRING = repeat(character(ANY_CHARACTER), 0, null)

type Schema = Readonly<Record<string, unknown>>

/** @throws ServiceError `invalid_request` at the keyword, `output/json_schema/…` */
export function jsonSchemaGrammar (schema: Schema): Grammar {
  return new Reader(schema).read(schema, '/json_schema', 0)
}

class Reader {
  readonly #root: Schema
  /** References being followed. */
  readonly #following: string[] = []
  #schemas = 0

  constructor (root: Schema) {
    this.#root = root
  }

  read (value: unknown, place: string, depth: number): Grammar {
    if (++this.#schemas > MAX_SCHEMAS) throw refusedOutput('/json_schema', `the schema has more than ${MAX_SCHEMAS} parts when its references are followed`)
    if (depth > MAX_NESTING) throw refusedOutput(place, `schemas are nested deeper than ${MAX_NESTING}`)
    if (!isObject(value)) throw refusedOutput(place, 'a schema must be an object')
    const schema = depth === 0 && place === '/json_schema' ? without(value, ROOT_ONLY) : value
    if ('$ref' in schema) return this.#reference(alone(schema, '$ref', place), place, depth)
    if ('const' in schema) return this.#oneOf([alone(schema, 'const', place, ['type'])], schema, `${place}/const`, place)
    if ('enum' in schema) return this.#oneOf(listAt(alone(schema, 'enum', place, ['type']), `${place}/enum`), schema, `${place}/enum`, place)
    if ('anyOf' in schema) return either(...listAt(alone(schema, 'anyOf', place), `${place}/anyOf`).map((option, index) => this.read(option, `${place}/anyOf/${index}`, depth + 1)))
    const types = typesAt(schema, place)
    const known = ['type', ...ANNOTATIONS, ...types.flatMap(type => KEYWORDS[type])]
    for (const keyword of Object.keys(schema)) {
      if (!known.includes(keyword)) throw refusedOutput(`${place}/${pointer(keyword)}`, `${keyword} is not supported ${types.length === 1 ? `in a schema of type ${types[0]!}` : 'here'}`)
    }
    return either(...types.map(type => this.#ofType(type, schema, place, depth)))
  }

  #ofType (type: TypeName, schema: Schema, place: string, depth: number): Grammar {
    switch (type) {
      case 'string': return stringGrammar(schema, place)
      case 'integer': return integersBetween(...boundsAt(schema, place, true))
      case 'number': return numbersBetween(...boundsAt(schema, place, false))
      case 'boolean': return either(text('true'), text('false'))
      case 'null': return text('null')
      case 'array': return this.#array(schema, place, depth)
      case 'object': return this.#object(schema, place, depth)
    }
  }

  #array (schema: Schema, place: string, depth: number): Grammar {
    if (schema['items'] === undefined) throw refusedOutput(`${place}/items`, 'an array needs items: the schema of each')
    const item = this.read(schema['items'], `${place}/items`, depth + 1)
    return enclosed('[', several(item, ...countsAt(schema, place, 'minItems', 'maxItems')), ']')
  }

  #object (schema: Schema, place: string, depth: number): Grammar {
    const { properties, additionalProperties: others } = schema
    const required = schema['required'] === undefined ? [] : listAt(schema['required'], `${place}/required`, 0)
    if (properties === undefined && isObject(others) && required.length === 0) {
      const entry = sequence(quoted(ANY_STRING), COLON, this.read(others, `${place}/additionalProperties`, depth + 1))
      return enclosed('{', several(entry, 0, null), '}')
    }
    if (properties === undefined) throw refusedOutput(`${place}/properties`, 'an object needs properties, or additionalProperties with a schema: the values of any names')
    if (!isObject(properties)) throw refusedOutput(`${place}/properties`, 'properties must be an object')
    if (others !== undefined && typeof others !== 'boolean') throw refusedOutput(`${place}/additionalProperties`, 'additionalProperties with a schema is supported without properties')
    const missing = required.findIndex(name => typeof name !== 'string' || !Object.hasOwn(properties, name))
    if (missing !== -1) throw refusedOutput(`${place}/required/${missing}`, 'it is no name of properties')
    const items = Object.entries(properties).map(([name, value]) => ({
      part: sequence(text(JSON.stringify(name)), COLON, this.read(value, `${place}/properties/${pointer(name)}`, depth + 1)),
      optional: !required.includes(name)
    }))
    return enclosed('{', { kind: 'listed', items, separator: COMMA }, '}')
  }

  #oneOf (values: readonly unknown[], schema: Schema, place: string, parent: string): Grammar {
    const types = schema['type'] === undefined ? TYPES : typesAt(schema, parent)
    for (const [index, value] of values.entries()) {
      if (!types.some(type => isOfType(value, type))) throw refusedOutput('const' in schema ? place : `${place}/${index}`, `it is not of type ${types.join(' or ')}`)
    }
    return either(...values.map(value => text(JSON.stringify(value))))
  }

  #reference (reference: unknown, place: string, depth: number): Grammar {
    const [, table = '', name = ''] = typeof reference === 'string' ? /^#\/(\$defs|definitions)\/([^/]+)$/.exec(reference) ?? [] : []
    const definitions = this.#root[table]
    const key = decoded(name)
    if (!isObject(definitions) || !Object.hasOwn(definitions, key)) throw refusedOutput(`${place}/$ref`, 'a reference must be #/$defs/NAME or #/definitions/NAME of this schema')
    const target = `/json_schema/${table}/${pointer(key)}`
    if (this.#following.includes(target)) throw refusedOutput(`${place}/$ref`, 'a schema that contains itself is not supported')
    this.#following.push(target)
    const grammar = this.read(definitions[key], target, depth + 1)
    this.#following.pop()
    return grammar
  }
}

function stringGrammar (schema: Schema, place: string): Grammar {
  const { pattern } = schema
  if (pattern === undefined) return quoted(repeat(character(ANY_CHARACTER), ...countsAt(schema, place, 'minLength', 'maxLength')))
  for (const keyword of ['minLength', 'maxLength']) if (schema[keyword] !== undefined) throw refusedOutput(`${place}/${keyword}`, `${keyword} beside pattern is not supported: say it in the pattern`)
  if (typeof pattern !== 'string') throw refusedOutput(`${place}/pattern`, 'pattern must be a text')
  try {
    return quoted(matchAnywhere(pattern))
  } catch (error) {
    if (!(error instanceof RegexError)) throw error
    throw refusedOutput(`${place}/pattern`, error.message)
  }
}

function boundsAt (schema: Schema, place: string, whole: boolean): [least: number, most: number] {
  const bound = (keyword: string): number | undefined => {
    const value = schema[keyword]
    if (value === undefined) return undefined
    if (typeof value !== 'number' || Math.abs(value) > LARGEST) throw refusedOutput(`${place}/${keyword}`, `${keyword} must be a number of at most ${MAX_DIGITS} digits`)
    if (!whole && keyword.startsWith('exclusive')) throw refusedOutput(`${place}/${keyword}`, `${keyword} is supported of integers`)
    if (!whole && !Number.isInteger(value)) throw refusedOutput(`${place}/${keyword}`, `${keyword} of numbers must be whole`)
    return value
  }
  const above = bound('exclusiveMinimum')
  const below = bound('exclusiveMaximum')
  const least = Math.max(-LARGEST, Math.ceil(bound('minimum') ?? -LARGEST), above === undefined ? -LARGEST : Math.floor(above) + 1)
  const most = Math.min(LARGEST, Math.floor(bound('maximum') ?? LARGEST), below === undefined ? LARGEST : Math.ceil(below) - 1)
  if (least > most) throw refusedOutput(place, 'no number lies between its bounds')
  return [least, most]
}

function countsAt (schema: Schema, place: string, leastKeyword: string, mostKeyword: string): [least: number, most: number | null] {
  const count = (keyword: string): number | null => {
    const value = schema[keyword]
    if (value === undefined) return null
    if (typeof value !== 'number' || !Number.isInteger(value) || value < 0) throw refusedOutput(`${place}/${keyword}`, `${keyword} must be a whole number from 0`)
    return value
  }
  const [least, most] = [count(leastKeyword) ?? 0, count(mostKeyword)]
  if (most !== null && least > most) throw refusedOutput(`${place}/${leastKeyword}`, `${leastKeyword} is above ${mostKeyword}`)
  return [least, most]
}

function typesAt (schema: Schema, place: string): TypeName[] {
  const { type } = schema
  if (type === undefined) {
    const stranger = Object.keys(schema).find(keyword => !ANNOTATIONS.includes(keyword) && !Object.values(KEYWORDS).flat().includes(keyword))
    if (stranger !== undefined) throw refusedOutput(`${place}/${pointer(stranger)}`, `${stranger} is not supported`)
    throw refusedOutput(place, 'a schema needs type, enum, const, anyOf or $ref')
  }
  const types = Array.isArray(type) ? type as unknown[] : [type]
  const unknown = types.find(name => !TYPES.includes(name as TypeName))
  if (unknown !== undefined || types.length === 0) throw refusedOutput(`${place}/type`, `type must be one or several of ${TYPES.join(', ')}`)
  return types as TypeName[]
}

/** The value of a keyword that bears no other beside it. */
function alone (schema: Schema, keyword: string, place: string, beside: readonly string[] = []): unknown {
  for (const other of Object.keys(schema)) {
    if (other !== keyword && !beside.includes(other) && !ANNOTATIONS.includes(other)) throw refusedOutput(`${place}/${pointer(other)}`, `${other} beside ${keyword} is not supported`)
  }
  return schema[keyword]
}

function isOfType (value: unknown, type: TypeName): boolean {
  switch (type) {
    case 'integer': return Number.isInteger(value)
    case 'null': return value === null
    case 'array': return Array.isArray(value)
    case 'object': return isObject(value)
    default: return typeof value === type
  }
}

function several (item: Grammar, least: number, most: number | null): Grammar {
  if (most === 0) return text('')
  const list = sequence(item, repeat(sequence(COMMA, item), Math.max(0, least - 1), most === null ? null : most - 1))
  return least === 0 ? optional(list) : list
}

function enclosed (open: string, content: Grammar, close: string): Grammar {
  return sequence(text(open), content, text(close))
}

function listAt (value: unknown, place: string, least = 1): readonly unknown[] {
  if (!Array.isArray(value) || value.length < least) throw refusedOutput(place, `it must be a list${least === 0 ? '' : ' that is not empty'}`)
  return value as unknown[]
}

function isObject (value: unknown): value is Schema {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function without (schema: Schema, keywords: readonly string[]): Schema {
  return Object.fromEntries(Object.entries(schema).filter(([keyword]) => !keywords.includes(keyword)))
}

/** As one step of a JSON pointer. */
function pointer (name: string): string {
  return name.replaceAll('~', '~0').replaceAll('/', '~1').slice(0, 100)
}

function decoded (step: string): string {
  try {
    return decodeURIComponent(step).replaceAll('~1', '/').replaceAll('~0', '~')
  } catch {
    return step
  }
}
