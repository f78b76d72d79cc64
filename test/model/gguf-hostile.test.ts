import assert from 'node:assert/strict'
import { existsSync, readFileSync } from 'node:fs'
import { suite, test } from 'node:test'
import { MalformedModelError } from '../../src/errors.js'
import { openGgufLlama } from '../../src/model/gguf-llama.js'
import { llamaTensors } from '../../src/model/llama-tensors.js'
import { fixturesFolder } from '../support/shared.js'

interface Entry { path: string, expect: 'accept' | 'warn' | 'reject' | 'either', say: string }
const folder = fixturesFolder('gguf', 'hostile')
const entries: Entry[] = folder === null ? [] : JSON.parse(readFileSync(`${folder}/manifest.json`, 'utf8')).entries

// What only the tokenizer's reader looks at; its own test covers these.
const TOKENIZER = /tokenizer\.|\bpre\b|token[s ]|tokens|merge|chat_template|repeated/

/** Header, configuration and every weight, as an import reads them. */
function load (path: string): readonly string[] {
  const source = openGgufLlama(path)
  try {
    for (const { name } of llamaTensors(source.config)) source.read(name)
    return source.warnings
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
      let outcome: readonly string[] | MalformedModelError
      try {
        outcome = load(`${folder}/${path}`)
      } catch (error) {
        assert.ok(error instanceof MalformedModelError, String(error))
        outcome = error
      }
      assert.ok(performance.now() - started < 2000)
      if (outcome instanceof MalformedModelError) {
        assert.ok(expect === 'reject' || expect === 'either', outcome.message)
        // A name that is no text ends the reading before the next reason, a missing tensor, is found.
        const reason = say.replace(/^(.*not UTF-8), and .*/, '$1')
        for (const fact of facts(reason)) assert.ok(outcome.message.includes(fact), `${JSON.stringify(fact)} is not in: ${outcome.message}`)
        return
      }
      if (TOKENIZER.test(say)) return
      assert.notEqual(expect, 'reject', `accepted, but: ${say}`)
      if (expect === 'accept') assert.deepEqual(outcome, [])
      if (expect === 'warn') for (const fact of facts(say)) assert.ok(outcome.some(line => line.includes(fact)), fact)
    })
  }
})
