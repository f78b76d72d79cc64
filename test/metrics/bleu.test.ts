import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { suite, test } from 'node:test'
import { corpusBleu } from '../../src/metrics/bleu.js'
import { tokenize13a } from '../../src/metrics/tokenize-13a.js'
import { sharedFolder } from '../support/shared.js'

/** Scores of sacreBLEU 2.6.0, `corpus_score` with its default options. */
const RECORDED = [
  { what: 'entities, <skipped>, numbers and hyphens, two references each', outputs: ['the cat sat on the mat , 1,000.5 times - 3-4 &amp; more', '<skipped>Hello, world.'], references: [['the cat is on the mat, 1,000.5 times -- 3-4 & more', 'A cat sat on mats 1,000.5 times'], ['Hello world.', 'hello , world !']], bleu: 63.2493183799405 },
  { what: 'orders without a match', outputs: ['a b c d e f'], references: [['a x b y c z']], bleu: 10.682175159905853 },
  { what: 'an output shorter than four tokens', outputs: ['a b'], references: [['a b']], bleu: 0 },
  { what: 'the brevity penalty', outputs: ['short one here now'], references: [['short one here now and this goes on much longer']], bleu: 22.31301601484299 },
  { what: 'punctuation and other scripts', outputs: ['it\'s 5-6 o\'clock; he said: "yes/no" (10%)\u00a0\u2019tis caf\u00e9'], references: [['it\'s 5-6 o\'clock: he said "yes/no" (10 %) \u2019tis caf\u00e9']], bleu: 73.64279629038002 }
]

suite('corpusBleu()', () => {
  for (const { what, outputs, references, bleu } of RECORDED) {
    test(`equals sacreBLEU on ${what}`, () => {
      assert.ok(Math.abs(corpusBleu(outputs, references) - bleu) < 1e-9, `${corpusBleu(outputs, references)} against ${bleu}`)
    })
  }

  test('is 0 without outputs and refuses a segment without a reference', () => {
    assert.equal(corpusBleu([], []), 0)
    assert.equal(corpusBleu([''], [['a']]), 0)
    assert.throws(() => corpusBleu(['a'], [[]]), /no reference/)
  })

  test('scores four systems of the E2E challenge as the official script and as sacreBLEU', t => {
    const folder = sharedFolder('data', 'e2e', 'metrics_oracle')
    if (folder === null) return t.skip('PERMAFROST_SHARED has no data/e2e/metrics_oracle')
    const rows = readFileSync(join(folder, 'systems.jsonl'), 'utf8').trim().split('\n').map(line => JSON.parse(line) as { references: string[], outputs: Record<string, string> })
    const { scores } = JSON.parse(readFileSync(join(folder, 'expected_scores.json'), 'utf8')) as { scores: Record<string, { BLEU: number }> }
    const withCase: Record<string, number> = { tgen: 61.741639674550534, slug: 65.32794617186214, tuda: 55.50479236165367, chen: 30.548955775577284 }
    for (const [system, expected] of Object.entries(scores)) {
      const outputs = rows.map(row => row.outputs[system]!)
      // The challenge's script ignores case and has its own tokenizer, which agrees on these texts.
      const lower = corpusBleu(outputs.map(text => text.toLowerCase()), rows.map(row => row.references.map(text => text.toLowerCase())))
      assert.ok(Math.abs(lower - 100 * expected.BLEU) < 1e-6, `${system}: ${lower} against ${100 * expected.BLEU}`)
      const mixed = corpusBleu(outputs, rows.map(row => row.references))
      assert.ok(Math.abs(mixed - withCase[system]!) < 1e-9, `${system}: ${mixed} against ${withCase[system]}`)
    }
  })
})

suite('tokenize13a()', () => {
  for (const [text, tokens] of [
    ['it\'s 5-6 o\'clock; he said: "yes/no" (10%)\u00a0\u2019tis caf\u00e9', 'it\'s 5 - 6 o\'clock ; he said : " yes / no " ( 10 % ) \u2019tis caf\u00e9'],
    ['x-\ny .5 5. 1,a a,1 ..,', 'xy . 5 5 . 1 , a a , 1 . . ,'],
    ['\u{1f600}.\u{1f600}, 3.14-2 \u0085a\ufeffb', '\u{1f600} . \u{1f600} , 3.14 - 2 a\ufeffb']
  ] as const) {
    test(`splits ${JSON.stringify(text)} as sacreBLEU does`, () => assert.equal(tokenize13a(text).join(' '), tokens))
  }
})
