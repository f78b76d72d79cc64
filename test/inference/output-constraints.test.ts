import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { type CompiledOutput, compileOutput } from '../../src/constraint/compile.js'
import type { Output } from '../../src/constraint/output.js'
import { OutputConstraints } from '../../src/inference/output-constraints.js'
import { vocabularyOf } from '../../src/inference/vocabulary.js'

const TOKENS = Array.from('abcxyz', letter => Buffer.from(letter))
const VOCABULARY = vocabularyOf({ first: TOKENS, later: TOKENS }, TOKENS.length)

class CountingCompiler {
  readonly compiled: Output[] = []

  async compile (output: Output, _tenant: string, usable?: Uint8Array): Promise<CompiledOutput> {
    this.compiled.push(output)
    return compileOutput(output, usable)
  }
}

function objectOf (properties: object): Output {
  return { json_schema: { type: 'object', properties, required: ['a', 'b'] } }
}

suite('outputs that are kept', () => {
  test('are compiled once for all who ask, and again when they were evicted', async () => {
    const compiler = new CountingCompiler()
    const { bytes } = (await new OutputConstraints(new CountingCompiler(), VOCABULARY).acquire({ choices: ['a'] }, 't')).value
    const outputs = new OutputConstraints(compiler, VOCABULARY, bytes)
    const together = await Promise.all(Array.from({ length: 20 }, async (_, index) => await outputs.acquire({ choices: ['a'] }, `tenant ${index}`)))
    assert.equal(new Set(together.map(({ value }) => value)).size, 1)
    assert.equal(compiler.compiled.length, 1)
    // While one is in use, it stays beside any other.
    const other = await outputs.acquire({ choices: ['b'] }, 't')
    const again = await outputs.acquire({ choices: ['a'] }, 't')
    assert.equal(again.value, together[0]!.value)
    assert.equal(compiler.compiled.length, 2)
    for (const pinned of [...together, again]) pinned.release()
    other.release()
    ;(await outputs.acquire({ choices: ['c'] }, 't')).release()
    ;(await outputs.acquire({ choices: ['b'] }, 't')).release()
    assert.deepEqual(compiler.compiled.map(({ choices }) => choices?.[0]), ['a', 'b', 'c', 'b'])
  })

  test('are told apart by the order of their properties, which is that of the answer', async () => {
    const compiler = new CountingCompiler()
    const outputs = new OutputConstraints(compiler, vocabularyOf({ first: TOKENS.concat(Buffer.from('{"a":1,"b":1}'), Buffer.from('{"b":1,"a":1}')), later: TOKENS }, 8), 2 ** 20)
    const ab = await outputs.acquire(objectOf({ a: { const: 1 }, b: { const: 1 } }), 't')
    const ba = await outputs.acquire(objectOf({ b: { const: 1 }, a: { const: 1 } }), 't')
    assert.deepEqual([...ab.value.of(0, true)], [1 << 6])
    assert.deepEqual([...ba.value.of(0, true)], [1 << 7])
  })

  test('a refusal is not kept', async () => {
    const compiler = new CountingCompiler()
    const outputs = new OutputConstraints(compiler, VOCABULARY)
    for (let round = 0; round < 2; round++) await assert.rejects(outputs.acquire({ regex: '(' }, 't'), { code: 'invalid_request', param: 'output/regex' })
    assert.equal(compiler.compiled.length, 2)
  })
})
