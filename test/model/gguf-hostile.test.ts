import assert from 'node:assert/strict'
import { existsSync, readFileSync } from 'node:fs'
import { suite, test } from 'node:test'
import { MalformedModelError } from '../../src/errors.js'
import { openGgufLlama } from '../../src/model/gguf-llama.js'
import { llamaTensors } from '../../src/model/llama-tensors.js'
import { tokenizerFromGguf } from '../../src/model/tokenizer-gguf.js'
import { fixturesFolder } from '../support/shared.js'

interface Entry { path: string, expect: 'accept' | 'warn' | 'reject' | 'either', say: string }
const folder = fixturesFolder('gguf', 'hostile')
const entries: Entry[] = folder === null ? [] : JSON.parse(readFileSync(`${folder}/manifest.json`, 'utf8')).entries

/** Header, configuration, tokenizer and every weight, as an import reads them. */
function load (path: string): readonly string[] {
  const source = openGgufLlama(path)
  try {
    const tokenizer = tokenizerFromGguf(source.gguf.metadata)
    for (const { name } of llamaTensors(source.config)) source.read(name)
    return [...source.warnings, ...tokenizer.warnings]
  } finally {
    source.close()
  }
}

// Words of the reason that a refusal must give too: names of keys and tensors, and the numbers of the defect.
function facts (say: string): string[] {
  return say.match(/\b(?:blk\.\d+\.[a-z_]+\.weight|token_embd\.weight|output_norm\.weight|general\.[a-z]+|split\.count|rope\.[a-z_.]+|head_count\b|expert_count|block_count|embedding_length)/g) ?? []
}

suite('hostile GGUF files', { skip: folder === null && 'no reference files (PERMAFROST_FIXTURES)' }, () => {
  for (const { path, expect, say } of entries) {
    test(`${path}: ${expect}`, () => {
      assert.ok(existsSync(`${folder}/${path}`))
      const started = performance.now()
      const before = process.memoryUsage.rss()
      let outcome: readonly string[] | MalformedModelError
      try {
        outcome = load(`${folder}/${path}`)
      } catch (error) {
        assert.ok(error instanceof MalformedModelError, String(error))
        outcome = error
      }
      assert.ok(performance.now() - started < 2000, 'took 2 seconds')
      const grown = process.memoryUsage.rss() - before
      assert.ok(grown < 64 * 1024 * 1024, `took ${grown} bytes`)
      if (outcome instanceof MalformedModelError) {
        assert.ok(expect === 'reject' || expect === 'either', outcome.message)
        // A name that is no text ends the reading before the next reason, a missing tensor, is found.
        const reason = say.replace(/^(.*not UTF-8), and .*/, '$1')
        for (const fact of facts(reason)) assert.ok(outcome.message.includes(fact), `${JSON.stringify(fact)} is not in: ${outcome.message}`)
        return
      }
      assert.notEqual(expect, 'reject', `accepted, but: ${say}`)
      if (expect === 'accept') assert.deepEqual(outcome, [])
      if (expect !== 'warn') return
      assert.ok(outcome.length > 0, 'accepted without a warning')
      for (const fact of facts(say)) assert.ok(outcome.some(line => line.includes(fact)), fact)
    })
  }
})
