import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, suite, test } from 'node:test'
import { BASE_FILES } from '../../src/model/base.js'
import { TokenizerPool } from '../../src/model/tokenizer-pool.js'
import { testTokenizer, testTokenizerJson } from '../support/tokenizer.js'

suite('TokenizerPool', () => {
  const baseFolder = mkdtempSync(join(tmpdir(), 'permafrost-tokenizer-'))
  writeFileSync(join(baseFolder, BASE_FILES.tokenizer), JSON.stringify(testTokenizerJson()))
  after(() => rmSync(baseFolder, { recursive: true }))
  const tokenizer = testTokenizer()

  test('gives the ids of the tokenizer, for short and long texts, whatever the order', async () => {
    const pool = new TokenizerPool(baseFolder)
    const texts = ['short', 'naïve 😀 '.repeat(1500), '<|eot_id|>'.repeat(1000), 'x'.repeat(4097), 'again']
    for (const options of [{}, { addSpecial: false, parseSpecial: true }]) {
      const ids = await Promise.all(texts.map(text => pool.encode(text, options)))
      assert.deepEqual(ids, texts.map(text => tokenizer.encode(text, options)))
    }
    await pool.close()
  })

  test('keeps the event loop free', async () => {
    const pool = new TokenizerPool(baseFolder)
    await pool.encode('y'.repeat(5000))
    let turns = 0
    const timer = setInterval(() => { turns++ }, 1)
    await pool.encode('x'.repeat(200_000))
    clearInterval(timer)
    assert.ok(turns > 2, `${turns} turns of the event loop`)
    await pool.close()
  })

  test('refuses what is in the thread when it is closed', async () => {
    const pool = new TokenizerPool(baseFolder)
    const pending = assert.rejects(pool.encode('x'.repeat(200_000)), /thread ended/)
    await pool.close()
    await pending
  })

  test('says so when the thread cannot load the tokenizer', async () => {
    const pool = new TokenizerPool(join(baseFolder, 'absent'))
    await assert.rejects(pool.encode('x'.repeat(5000)), /ENOENT/)
    await assert.rejects(pool.encode('x'.repeat(5000)), /ENOENT/)
    await pool.close()
  })
})
