import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { Ajv } from 'ajv'
import { compileOutput } from '../../src/constraint/compile.js'
import { ServiceError } from '../../src/errors.js'
import { seededNumbers } from '../support/numbers.js'
import { accepts, randomText } from './following.js'
import { randomSchema } from './random-outputs.js'

const SCHEMAS = 200
const TEXTS_EACH = 8

function acceptsJson (schema: object, text: string): boolean {
  return accepts(compileOutput({ json_schema: schema }).automaton, text)
}

function refusedAt (schema: object): { param: string | undefined, message: string } {
  try {
    compileOutput({ json_schema: schema })
  } catch (error) {
    assert.ok(error instanceof ServiceError, String(error))
    assert.equal(error.code, 'invalid_request')
    return { param: error.param, message: error.message }
  }
  throw new Error(`accepted: ${JSON.stringify(schema)}`)
}

suite('JSON schemas', () => {
  test(`random texts of ${SCHEMAS} random schemas are JSON that ajv accepts`, () => {
    const random = seededNumbers(11)
    const below = (limit: number): number => Math.floor((random() + 1) / 2 * limit)
    let texts = 0
    for (let round = 0; round < SCHEMAS; round++) {
      const schema = randomSchema(below)
      const validate = new Ajv({ strict: false }).compile(schema)
      const { automaton } = compileOutput({ json_schema: schema })
      for (let index = 0; index < TEXTS_EACH; index++) {
        const text = randomText(automaton, below)
        if (text === null) continue
        texts++
        assert.ok(validate(JSON.parse(text)), `${JSON.stringify(schema)}\n${text}`)
      }
    }
    assert.ok(texts > SCHEMAS * TEXTS_EACH * 0.9, `only ${texts} texts came to an end`)
  })

  test('write properties in their order, those that are not required or not', () => {
    const schema = { type: 'object', properties: { a: { type: 'null' }, b: { type: 'boolean' }, c: { type: 'null' } }, required: ['b'] }
    for (const text of ['{"b":true}', '{"a":null,"b":false}', '{"a": null, "b": true,"c": null}', '{"b":true,"c":null}']) assert.ok(acceptsJson(schema, text), text)
    for (const text of ['{}', '{"a":null}', '{"c":null,"b":true}', '{,"b":true}', '{"b":true,}', '{"b":true,"d":1}', ' {"b":true}', '{"b":  true}', '{"b":true }', '{"b":true}\n']) assert.ok(!acceptsJson(schema, text), text)
    assert.ok(acceptsJson({ ...schema, required: [] }, '{}'))
    assert.ok(acceptsJson({ ...schema, required: [] }, '{"c":null}'))
  })

  test('strings hold every character, written as JSON.stringify writes it', () => {
    const schema = { type: 'string' }
    for (const value of ['', 'a b', 'größe 日付 😀', 'tab\t, line\n, "quoted", back\\slash', '\u0000\u001f\u007f\u2028\ufeff']) assert.ok(acceptsJson(schema, JSON.stringify(value)), value)
    for (const text of ['"', '"\n"', '"\\x"', '"\\u00e4"', '"\\/"', '"a', 'a"', '"\\u000A"']) assert.ok(!acceptsJson(schema, text), text)
    assert.ok(acceptsJson({ type: 'string', minLength: 2, maxLength: 2 }, '"😀\\n"'))
    assert.ok(!acceptsJson({ type: 'string', minLength: 2 }, '"😀"'))
    assert.ok(acceptsJson({ type: 'string', maxLength: 1000 }, JSON.stringify('é'.repeat(1000))))
    assert.ok(!acceptsJson({ type: 'string', maxLength: 1000 }, JSON.stringify('é'.repeat(1001))))
  })

  test('integers within their bounds, and no others', () => {
    for (const [minimum, maximum] of [[0, 0], [-3, 12], [7, 7], [17, 1234], [-1234, -17], [95, 105], [-1, 100_000]] as const) {
      const { automaton } = compileOutput({ json_schema: { type: 'integer', minimum, maximum } })
      for (let value = -2000; value <= 2000; value++) assert.equal(accepts(automaton, String(value)), value >= minimum && value <= maximum, `${value} in [${minimum}, ${maximum}]`)
      for (const text of ['-0', '01', '+1', '1.0', '1e2', '', '-']) assert.ok(!accepts(automaton, text), text)
    }
  })

  test('numbers within whole bounds, with them', () => {
    const { automaton } = compileOutput({ json_schema: { type: 'number', minimum: -2, maximum: 30 } })
    for (const text of ['-2', '-2.0', '-1.999999999999999', '0', '-0.5', '29.99', '30', '30.00']) assert.ok(accepts(automaton, text), text)
    for (const text of ['-2.1', '30.1', '31', '.5', '1.', '1e1', '00', '-3']) assert.ok(!accepts(automaton, text), text)
  })

  test('what is not understood is refused by name, never left out', () => {
    const cases: Array<[schema: object, param: string, message: RegExp]> = [
      [{}, '', /needs type, enum, const, anyOf or \$ref/],
      [{ properties: {} }, '', /needs type/],
      [{ type: 'any' }, '/type', /one or several of string/],
      [{ type: 'string', format: 'date' }, '/format', /format is not supported in a schema of type string/],
      [{ type: 'string', minimum: 3 }, '/minimum', /minimum is not supported in a schema of type string/],
      [{ type: 'string', pattern: '^a', maxLength: 3 }, '/maxLength', /beside pattern/],
      [{ type: 'string', pattern: '(?=a)b' }, '/pattern', /look-ahead/],
      [{ type: 'number', multipleOf: 2 }, '/multipleOf', /multipleOf/],
      [{ type: 'number', minimum: 0.5 }, '/minimum', /must be whole/],
      [{ type: 'number', exclusiveMinimum: 0 }, '/exclusiveMinimum', /of integers/],
      [{ type: 'integer', minimum: 1e16 }, '/minimum', /15 digits/],
      [{ type: 'integer', minimum: 4, maximum: 3 }, '', /no number/],
      [{ type: 'array' }, '/items', /needs items/],
      [{ type: 'array', items: { type: 'null' }, uniqueItems: true }, '/uniqueItems', /uniqueItems/],
      [{ type: 'array', items: { type: 'null' }, minItems: 2, maxItems: 1 }, '/minItems', /above maxItems/],
      [{ type: 'array', items: [{ type: 'null' }] }, '/items', /must be an object/],
      [{ type: 'object' }, '/properties', /needs properties/],
      [{ type: 'object', properties: { 'a/b': true } }, '/properties/a~1b', /must be an object/],
      [{ type: 'object', properties: {}, required: ['a'] }, '/required/0', /no name of properties/],
      [{ type: 'object', properties: {}, patternProperties: {} }, '/patternProperties', /patternProperties/],
      [{ type: 'object', properties: { a: { type: 'null' } }, additionalProperties: { type: 'null' } }, '/additionalProperties', /without properties/],
      [{ allOf: [{ type: 'string' }] }, '/allOf', /allOf is not supported/],
      [{ oneOf: [{ type: 'string' }] }, '/oneOf', /oneOf is not supported/],
      [{ not: { type: 'string' } }, '/not', /not is not supported/],
      [{ anyOf: [] }, '/anyOf', /not empty/],
      [{ anyOf: [{ type: 'null' }], type: 'null' }, '/type', /beside anyOf/],
      [{ enum: ['a', 1], type: 'string' }, '/enum/1', /not of type string/],
      [{ const: 1, minimum: 0 }, '/minimum', /beside const/],
      [{ $ref: 'https://example.com/schema' }, '/$ref', /#\/\$defs\/NAME/],
      [{ $ref: '#/$defs/a', $defs: {} }, '/$ref', /#\/\$defs\/NAME/],
      [{ $ref: '#/$defs/a', $defs: { a: { type: 'array', items: { $ref: '#/$defs/a' } } } }, '/$defs/a/items/$ref', /contains itself/]
    ]
    for (const [schema, param, message] of cases) {
      const refusal = refusedAt(schema)
      assert.equal(refusal.param, `output/json_schema${param}`, JSON.stringify(schema))
      assert.match(refusal.message, message)
    }
  })

  test('annotations say nothing about an answer', () => {
    assert.ok(acceptsJson({ $schema: 'x', $id: 'y', title: 't', type: 'null', description: 'd', default: 1, examples: [2], $comment: 'c', deprecated: true }, 'null'))
  })

  test('nesting and references that grow without end are refused', () => {
    let deep: object = { type: 'null' }
    for (let depth = 0; depth < 40; depth++) deep = { type: 'array', items: deep }
    assert.match(refusedAt(deep).message, /nested deeper than 32/)
    const $defs: Record<string, object> = { x0: { type: 'null' } }
    for (let index = 1; index < 14; index++) $defs[`x${index}`] = { type: 'object', properties: { a: { $ref: `#/$defs/x${index - 1}` }, b: { $ref: `#/$defs/x${index - 1}` } } }
    assert.match(refusedAt({ $ref: '#/$defs/x13', $defs }).message, /more than 5000 parts/)
  })
})
