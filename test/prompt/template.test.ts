import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { ServiceError, type ErrorCode } from '../../src/errors.js'
import { DEFAULT_TEMPLATES, parseTemplate, renderTemplate, type TemplateInput } from '../../src/prompt/template.js'

function refuses (run: () => unknown, code: ErrorCode, param: string, message = /./): void {
  assert.throws(run, (error: unknown) => {
    assert.ok(error instanceof ServiceError, String(error))
    assert.deepEqual({ code: error.code, param: error.param }, { code, param })
    assert.match(error.message, message)
    return true
  })
}

function refusesTemplate (template: string, message: RegExp): void {
  refuses(() => parseTemplate(template), 'invalid_request', 'template', message)
}

suite('parseTemplate()', () => {
  test('finds fields and doubled braces', () => {
    assert.deepEqual(parseTemplate('{{{a}}} {b}{a}'), { parts: ['{', { field: 'a' }, '} ', { field: 'b' }, { field: 'a' }], fields: ['a', 'b'] })
  })

  test('refuses what is not a template', () => {
    refusesTemplate('no field', /no field/)
    refusesTemplate('{input', /character 1 is not closed/)
    refusesTemplate('{input} }', /character 9 closes nothing/)
    refusesTemplate('{}', /"" is not a field name/)
    refusesTemplate('{a b}', /"a b" is not a field name/)
    refusesTemplate('{__proto__.x}', /not a field name/)
    refusesTemplate('{{input}}', /no field/)
    refusesTemplate(Array.from({ length: 33 }, (_, i) => `{f${i}}`).join(''), /33 fields, limit 32/)
  })
})

suite('renderTemplate()', () => {
  test('has defaults for both kinds', () => {
    assert.equal(renderTemplate(DEFAULT_TEMPLATES.classification, 'fine'), 'fine\nLabel:')
    assert.equal(renderTemplate(DEFAULT_TEMPLATES.generation, 'fine'), 'fine\n')
  })

  test('puts every field in, and nothing of a value is a template', () => {
    assert.equal(renderTemplate('{premise} so {hypothesis}? {{x}}', { hypothesis: '$& {premise}', premise: 'a' }), 'a so $& {premise}? {x}')
    assert.equal(renderTemplate('{__proto__}', JSON.parse('{"__proto__": "own"}') as TemplateInput), 'own')
  })

  test('names the field that is wrong', () => {
    const two = '{premise}\n{hypothesis}'
    refuses(() => renderTemplate(two, 'text'), 'invalid_request', 'input', /premise, hypothesis/)
    refuses(() => renderTemplate(two, { premise: 'a' }), 'invalid_request', 'input/hypothesis', /missing/)
    refuses(() => renderTemplate(two, { premise: 'a', hypothesis: 1 } as unknown as TemplateInput), 'invalid_request', 'input/hypothesis', /must be a text/)
    refuses(() => renderTemplate(two, { premise: 'a', hypothesis: 'b', other: 'c' }), 'invalid_request', 'input/other', /no field "other"/)
    refuses(() => renderTemplate('{toString}', {}), 'invalid_request', 'input/toString', /missing/)
    refuses(() => renderTemplate('{input}', null as unknown as TemplateInput), 'invalid_request', 'input')
    refuses(() => renderTemplate('{input}', ['a'] as unknown as TemplateInput), 'invalid_request', 'input')
  })

  test('refuses an input without any text', () => {
    refuses(() => renderTemplate('{input}', ' \n'), 'empty_input', 'input')
    refuses(() => renderTemplate('{a}{b}', { a: '', b: ' ' }), 'empty_input', 'input')
    assert.equal(renderTemplate('{a}{b}', { a: '', b: 'x' }), 'x')
  })
})
