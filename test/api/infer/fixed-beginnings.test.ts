import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { suite, test } from 'node:test'
import { FixedBeginnings } from '../../../src/api/infer/fixed-beginnings.js'
import { tokenizerFromJson } from '../../../src/model/bpe-tokenizer.js'
import { validateTokenizerJson } from '../../../src/model/tokenizer-json.js'
import type { Tokenizer } from '../../../src/model/tokenizer.js'
import { renderTemplate } from '../../../src/prompt/template.js'
import { seededNumbers } from '../../support/numbers.js'
import { fixturesFolder, sharedFolder } from '../../support/shared.js'
import { testTokenizer } from '../../support/tokenizer.js'
import { byteTokenizer } from '../byte-tokenizer.js'

const LITERALS = [
  'Is the following review of a film positive or negative? Review: ', 'Translate this sentence into plain English:\n\n', 'Answer the question in one word.\nQuestion:',
  'Tell what the text in quotation marks is about: "', 'Zählt {{Wörter}} in diesem Satz: ', 'The quick brown fox jumps over the '
]
const INPUTS = ['hello', 'Great film!', ' x', '\n\ny', '\t z', '1984', '...', '😀 yes', '中文', "'s", '"no"', 'ü', '#tag', '_', '\u0301a', '\uFFFD', 'a'.repeat(300), 'lazy dog']

function beginningsOf (tokenizer: Tokenizer): FixedBeginnings {
  return new FixedBeginnings({ tokenizer, tokenizerPool: { encode: async text => tokenizer.encode(text) } })
}

/** Of one template, by input. */
async function counts (tokenizer: Tokenizer, template: string, inputs: readonly string[]): Promise<number[]> {
  const beginnings = beginningsOf(tokenizer)
  return await Promise.all(inputs.map(async input => await beginnings.tokensOf(template, tokenizer.encode(renderTemplate(template, input)))))
}

/** A tokenizer, and the most tokens of a literal's end that may not be fixed. */
function check (name: string, tokenizer: Tokenizer, open: number): void {
  test(`${name}: every usual input begins with the fixed tokens, any other with none`, async () => {
    const random = seededNumbers(4)
    const characters = [...'aA1 \n.,-"(\'é中😀#\u0301\r{']
    const text = (): string => Array.from({ length: 1 + Math.floor(random() * 3 + 3) }, () => characters[Math.floor((random() + 1) / 2 * characters.length)]!).join('')
    const inputs = [...INPUTS, ...Array.from({ length: 300 }, text)].filter(input => input.trim() !== '')
    for (const literal of LITERALS) {
      const template = `${literal}{input}\nAnswer:`
      const plain = literal.replaceAll('{{', '{').replaceAll('}}', '}')
      const found = await counts(tokenizer, template, inputs)
      const fixed = Math.max(...found)
      assert.ok(fixed >= tokenizer.encode(plain).length - open, `${fixed} of ${JSON.stringify(literal)}, which has ${tokenizer.encode(plain).length}`)
      const beginning = tokenizer.encode(renderTemplate(template, 'hello')).slice(0, fixed)
      assert.ok(plain.startsWith(tokenizer.decode(beginning)))
      for (const [index, input] of inputs.entries()) {
        const begins = beginning.every((id, place) => tokenizer.encode(renderTemplate(template, input))[place] === id)
        assert.equal(found[index], begins ? fixed : 0, `${JSON.stringify(literal)} before ${JSON.stringify(input)}`)
      }
      assert.ok(found.filter(count => count === 0).length < inputs.length / 10)
    }
  })
}

function checkFolder (name: string, folder: string | null, open: number): void {
  if (folder === null) test(name, { skip: 'no reference data (PERMAFROST_FIXTURES, PERMAFROST_SHARED)' }, () => {})
  else check(name, tokenizerFromJson(validateTokenizerJson(readFileSync(join(folder, 'tokenizer.json')))), open)
}

suite('fixed beginnings', () => {
  check('bytes', byteTokenizer, 0)
  check('Llama 3', testTokenizer(), 2)
  checkFolder('GPT-2', fixturesFolder('gpt2', 'model'), 2)
  checkFolder('stories260K', sharedFolder('models', 'stories260K'), 3)

  test('none without a text in front, with a short one, and when nothing would be left to run; 256 of a long one', async () => {
    assert.deepEqual(await counts(byteTokenizer, '{input}: a long text behind it', ['a']), [0])
    assert.deepEqual(await counts(byteTokenizer, '1234567{input}', ['a']), [0])
    assert.deepEqual(await counts(byteTokenizer, '12345678{input}', ['a']), [8])
    assert.equal(await beginningsOf(byteTokenizer).tokensOf('12345678{input}', byteTokenizer.encode('12345678')), 0)
    assert.deepEqual(await counts(byteTokenizer, `${'x'.repeat(257)}{input}`, ['a']), [256])
  })

  test('a template is tokenized once for all who ask at the same time, a long one off the event loop', async () => {
    const texts = { here: 0, pool: 0 }
    const tokenizer: Tokenizer = { ...byteTokenizer, encode: text => { texts.here++; return byteTokenizer.encode(text) } }
    const beginnings = new FixedBeginnings({ tokenizer, tokenizerPool: { encode: async text => { texts.pool++; return byteTokenizer.encode(text) } } })
    const ask = (literal: string): Promise<number> => beginnings.tokensOf(`${literal}{input}`, byteTokenizer.encode(`${literal}x`))
    assert.deepEqual(await Promise.all([ask('a short text'), ask('a short text')]), [12, 12])
    const { here } = texts
    assert.equal(texts.pool, 0)
    await ask('a short text')
    await Promise.all([ask('x'.repeat(5000)), ask('x'.repeat(5000))])
    assert.deepEqual(texts, { here, pool: here })
  })

  test('remembers so many templates, those that are in use', async () => {
    let texts = 0
    const beginnings = beginningsOf({ ...byteTokenizer, encode: text => { texts++; return byteTokenizer.encode(text) } })
    const ask = (number: number): Promise<number> => beginnings.tokensOf(`text number ${number} {input}`, byteTokenizer.encode(`text number ${number} x`))
    await ask(0)
    const each = texts
    for (let number = 1; number < 1024; number++) await ask(number)
    await ask(0)
    assert.equal(texts, 1024 * each)
    await ask(1024)
    await ask(0)
    assert.equal(texts, 1025 * each)
    await ask(1)
    assert.equal(texts, 1026 * each)
  })

  test('a failure is not remembered', async () => {
    let fails = true
    const beginnings = new FixedBeginnings({ tokenizer: byteTokenizer, tokenizerPool: { encode: async text => {
      if (fails) throw new Error('the tokenizer thread ended')
      return byteTokenizer.encode(text)
    } } })
    const literal = 'x'.repeat(5000)
    const ask = (): Promise<number> => beginnings.tokensOf(`${literal}{input}`, byteTokenizer.encode(`${literal}y`))
    await assert.rejects(ask(), /ended/)
    fails = false
    assert.equal(await ask(), 256)
  })
})
