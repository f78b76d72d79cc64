import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { MAX_TABLE_STATES } from '../../src/constraint/automaton.js'
import { compileOutput } from '../../src/constraint/compile.js'
import { MAX_OUTPUT_BYTES, type Output } from '../../src/constraint/output.js'
import { ServiceError } from '../../src/errors.js'
import { seededNumbers } from '../support/numbers.js'
import { accepts, randomText } from './following.js'

function refusedAt (output: Output): { param: string | undefined, message: string } {
  try {
    compileOutput(output)
  } catch (error) {
    assert.ok(error instanceof ServiceError, String(error))
    assert.equal(error.code, 'invalid_request')
    return { param: error.param, message: error.message }
  }
  throw new Error(`accepted: ${JSON.stringify(output)}`)
}

const random = seededNumbers(5)
const below = (limit: number): number => Math.floor((random() + 1) / 2 * limit)

const ATOMS = ['a', 'b', 'é', '😀', '.', '[ab]', '[^a]', '\\d', '\\w', '\\s', '\\S', '[b-é]', '\\u{1F600}', '\\x62', '(?:ab|b)', '(a)', '\\.', '[\\d-]', '\\ud83d\\ude00']
const QUANTIFIERS = ['', '', '', '*', '+', '?', '{2}', '{1,}', '{0,2}', '*?', '{0}']
const ALPHABET = ['a', 'b', 'é', '😀', '.', '1', '-', ' ', '\n', '日', '\u2028', '\ufeff', '_']

function randomPattern (depth: number): string {
  const alternative = (): string => Array.from({ length: 1 + below(4) }, () => (depth > 0 && below(4) === 0 ? `(${randomPattern(depth - 1)})` : ATOMS[below(ATOMS.length)]!) + QUANTIFIERS[below(QUANTIFIERS.length)]!).join('')
  return Array.from({ length: 1 + below(3) }, alternative).join('|')
}

suite('regular expressions', () => {
  test('accept what JavaScript matches as a whole, and nothing else', () => {
    let matched = 0
    for (let round = 0; round < 300; round++) {
      const pattern = randomPattern(1)
      const expression = new RegExp(`^(?:${pattern})$`, 'u')
      const { automaton } = compileOutput({ regex: pattern })
      for (let index = 0; index < 40; index++) {
        const text = Array.from({ length: below(6) }, () => ALPHABET[below(ALPHABET.length)]!).join('')
        matched += Number(expression.test(text))
        assert.equal(accepts(automaton, text), expression.test(text), `${pattern} on ${JSON.stringify(text)}`)
      }
      const own = randomText(automaton, below)
      if (own !== null) assert.ok(expression.test(own), `${pattern} on ${JSON.stringify(own)}`)
    }
    assert.ok(matched > 500, `only ${matched} texts matched`)
  })

  test('^ and $ stand at the ends of alternatives', () => {
    const { automaton } = compileOutput({ regex: '^ab$|c$|^d' })
    for (const text of ['ab', 'c', 'd']) assert.ok(accepts(automaton, text))
    for (const text of ['a', 'abc', 'cd', '']) assert.ok(!accepts(automaton, text))
  })

  test('what is not supported is refused by name', () => {
    const cases: Array<[regex: string, message: RegExp]> = [
      ['(', /Unterminated group/], ['a(?=b)', /look-ahead/], ['a(?!b)', /look-ahead/], ['(?<=a)b', /look-behind/], ['(?<!a)b', /look-behind/],
      ['\\ba', /word border/], ['a\\B', /word border/], ['(a)\\1', /back-reference/], ['(?<x>a)\\k<x>', /back-reference/], ['\\p{L}', /Unicode properties/],
      ['\\cA', /control characters/], ['a^b', /\^ stands in the middle/], ['a$b', /\$ stands in the middle/], ['(a$)', /\$ stands in a group/], ['[^\\s\\S]', /no text satisfies/],
      ['\\ud800', /surrogate/], ['('.repeat(101) + ')'.repeat(101), /nested deeper than 100/]
    ]
    for (const [regex, message] of cases) {
      const refusal = refusedAt({ regex })
      assert.equal(refusal.param, 'output/regex', regex)
      assert.match(refusal.message, message, regex)
    }
  })
})

suite('outputs', () => {
  test('choices are those texts', () => {
    const { automaton } = compileOutput({ choices: ['yes', 'yes please', 'größe', '{"a"}'] })
    for (const text of ['yes', 'yes please', 'größe', '{"a"}']) assert.ok(accepts(automaton, text))
    for (const text of ['', 'ye', 'yes ', 'no', 'yesyes']) assert.ok(!accepts(automaton, text))
    assert.deepEqual(refusedAt({ choices: ['a', 'b', 'a'] }), { param: 'output/choices/2', message: 'it is there twice' })
    assert.equal(refusedAt({ choices: ['a', '\ud800'] }).param, 'output/choices/1')
  })

  test('exactly one kind, within its bytes', () => {
    assert.match(refusedAt({}).message, /found none/)
    assert.match(refusedAt({ choices: ['a'], regex: 'a' }).message, /found choices and regex/)
    assert.match(refusedAt({ choices: Array.from({ length: 100 }, (_, index) => `${index}${'x'.repeat(900)}`) }).message, new RegExp(`limit ${MAX_OUTPUT_BYTES}`))
  })

  test('what explodes is refused before it takes time or memory', () => {
    const cases: Array<[output: Output, message: RegExp]> = [
      [{ regex: '(a|b)*a(a|b){20}' }, new RegExp(`more than ${MAX_TABLE_STATES} states`)],
      [{ regex: '((a{1000}){1000}){1000}' }, /more than \d+ states/],
      [{ regex: '(){9007199254740991}' }, /more than \d+ states/],
      [{ regex: '(x?y?){2000}' }, /takes too long/],
      [{ regex: '(.{0,1000}a){1,30}' }, /more than \d+ states/],
      [{ json_schema: { type: 'array', items: { type: 'array', items: { type: 'string', maxLength: 500 }, maxItems: 500 }, maxItems: 500 } }, /more than \d+ states/]
    ]
    for (const [output, message] of cases) {
      const { message: said } = refusedAt(output)
      assert.match(said, /^too expensive: /)
      assert.match(said, message)
    }
  })

  test('expressions that stall a backtracking matcher are small tables', () => {
    for (const regex of ['(a*)*b', '(a+)+$', '(a|a)*b', '(.*a){20}', '(a|aa)+c']) assert.ok(compileOutput({ regex }).automaton.accepting.length < 250, regex)
  })
})
