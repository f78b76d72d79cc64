/** Answers that satisfy an output, on a tiny base that would never write one by itself. */
import assert from 'node:assert/strict'
import { after, before, suite, test } from 'node:test'
import { Ajv } from 'ajv'
import type { Output } from '../../src/constraint/output.js'
import type { SequenceEvent } from '../../src/inference/protocol.js'
import { loadTokenizer } from '../../src/model/bpe-tokenizer.js'
import type { Tokenizer } from '../../src/model/tokenizer.js'
import { randomSchema } from '../constraint/random-outputs.js'
import { seededNumbers } from '../support/numbers.js'
import { TINY_END_TOKEN } from '../support/tiny-llama.js'
import { tinyBase, type TestBase } from './tiny-base.js'
import { collect, generate, submit, type TestService, tinyService, tokenIds, untimed } from './tiny-service.js'

const stopTokenIds = [TINY_END_TOKEN]
const SCHEMA: Output = { json_schema: { type: 'object', properties: { name: { type: 'string', maxLength: 8 }, n: { type: 'integer', minimum: 1, maximum: 99 } }, required: ['name', 'n'] } }

function reasonOf (events: readonly SequenceEvent[]): string {
  const last = events.at(-1)
  assert.ok(last?.type === 'finished', JSON.stringify(last))
  return last.reason
}

suite('structured output', () => {
  let tiny: TestBase
  let service: TestService
  let tokenizer: Tokenizer
  before(async () => {
    tiny = await tinyBase({ contextLength: 640 })
    service = await tinyService(tiny.base)
    tokenizer = await loadTokenizer(tiny.base.folder)
  })
  after(async () => {
    await service.stop(0)
    await tiny.dispose()
  })

  function textOf (events: readonly SequenceEvent[]): string {
    return tokenizer.decode(tokenIds(events))
  }

  test('every answer that ends by itself satisfies its schema, greedy and sampled, with penalties and without', async () => {
    const random = seededNumbers(2)
    const below = (limit: number): number => Math.floor((random() + 1) / 2 * limit)
    let stopped = 0
    for (let round = 0; round < 60; round++) {
      const schema = randomSchema(below)
      const sampling = round % 2 === 0 ? {} : { temperature: 1, seed: round, topK: round % 3 === 0 ? 5 : 0, topP: round % 4 === 1 ? 0.9 : 1, minP: round % 5 === 0 ? 0.05 : 0 }
      const penalties = round % 3 === 1 ? { penalties: { repetition: 1.2, presence: 0.3, frequency: 0.1 } } : {}
      const events = await collect(service, generate([1 + below(300), 1 + below(300)], { maxTokens: 300, stopTokenIds, output: { json_schema: schema }, sampling, ...penalties }))
      if (reasonOf(events) !== 'stop') continue
      stopped++
      const text = textOf(events)
      assert.ok(new Ajv({ strict: false }).compile(schema)(JSON.parse(text)), `${JSON.stringify(schema)}\n${text}`)
    }
    assert.ok(stopped > 30, `only ${stopped} ended by themselves`)
  })

  test('choices and regular expressions', async () => {
    for (let seed = 0; seed < 20; seed++) {
      const options = { maxTokens: 60, stopTokenIds, sampling: { temperature: 1, seed } }
      const choice = await collect(service, generate([seed + 1], { ...options, output: { choices: ['yes', 'yes please', 'größe'] } }))
      assert.deepEqual([reasonOf(choice), ['yes', 'yes please', 'größe'].includes(textOf(choice))], ['stop', true], textOf(choice))
      const matched = await collect(service, generate([seed + 1], { ...options, output: { regex: '\\d{2,4}-[a-f]+x' } }))
      if (reasonOf(matched) === 'stop') assert.match(textOf(matched), /^\d{2,4}-[a-f]+x$/)
      else assert.equal(tokenIds(matched).length, 60)
    }
  })

  test('ends where nothing can follow, without a step for the end; goes on where something can', async () => {
    const complete = await collect(service, generate([5], { maxTokens: 100, output: { choices: ['ab'] } }))
    assert.deepEqual([textOf(complete), reasonOf(complete)], ['ab', 'stop'])
    // Without an end token only what cannot go on ends.
    const open = await collect(service, generate([5], { maxTokens: 9, output: { regex: '(ab)+' } }))
    assert.deepEqual([tokenIds(open).length, reasonOf(open)], [9, 'length'])
    const empty = await collect(service, generate([5], { maxTokens: 9, output: { regex: 'a{0}' } }))
    assert.deepEqual([tokenIds(empty), reasonOf(empty)], [[], 'stop'])
  })

  test('an answer cut by max_tokens or by the context says length and need not satisfy it', async () => {
    const cut = await collect(service, generate([5], { maxTokens: 3, stopTokenIds, output: SCHEMA }))
    assert.deepEqual([reasonOf(cut), textOf(cut).startsWith('{"')], ['length', true])
    const full = await collect(service, generate(Array.from({ length: 637 }, () => 7), { maxTokens: 100, stopTokenIds, output: SCHEMA }))
    assert.deepEqual([reasonOf(full), tokenIds(full).length], ['length', 3])
  })

  test('log-probabilities are those of the raw scores', async () => {
    const constrained = await collect(service, generate([5, 6], { maxTokens: 1, logprobs: 4, output: SCHEMA }))
    const free = await collect(service, generate([5, 6], { maxTokens: 1, logprobs: 4 }))
    assert.ok(constrained[0]?.type === 'token' && free[0]?.type === 'token')
    assert.deepEqual(constrained[0].top, free[0].top)
    assert.ok(constrained[0].logprob! < free[0].logprob!, 'the tiny base does not begin with a brace')
  })

  test('the same seed gives the same answer in another process, cold or warm', async () => {
    const request = generate([9, 8, 7], { maxTokens: 80, stopTokenIds, output: SCHEMA, sampling: { temperature: 1, seed: 4, topP: 0.95 } })
    const first = untimed(await collect(service, request))
    assert.deepEqual(untimed(await collect(service, request)), first)
    const other = await tinyService(tiny.base)
    try {
      assert.deepEqual(untimed(await collect(other, request)), first)
    } finally {
      await other.stop(0)
    }
  })

  test('what cannot be compiled is refused by its place, and nobody else notices', async () => {
    const alone = untimed(await collect(service, generate([4, 4], { maxTokens: 30 })))
    const beside = collect(service, generate([4, 4], { maxTokens: 30 }))
    const outputs: Array<[Output, string]> = [
      [{ regex: '(a|b)*a(a|b){20}' }, 'output/regex'],
      [{ regex: '(' }, 'output/regex'],
      [{ json_schema: { type: 'string', format: 'date' } }, 'output/json_schema/format'],
      [{ choices: ['a'], regex: 'a' }, 'output']
    ]
    for (const [output, param] of outputs) await assert.rejects(collect(service, generate([4], { output })), { code: 'invalid_request', param })
    assert.deepEqual(untimed(await beside), alone)
    const { running, waiting } = service.service.status()
    assert.deepEqual([running, waiting], [0, 0])
  })

  test('a cold output delays its own request alone', async () => {
    const order: string[] = []
    const slow = submit(service, generate([1], { maxTokens: 1, output: { json_schema: { type: 'string', maxLength: 900 } } })).then(async ({ done }) => { await done; order.push('cold') })
    const quick = submit(service, generate([1], { maxTokens: 5 })).then(async ({ done }) => { await done; order.push('free') })
    await Promise.all([slow, quick])
    assert.deepEqual(order, ['free', 'cold'])
  })

  test('one that hangs up while its output is compiled leaves nothing behind', async () => {
    const hangUp = new AbortController()
    const asked = submit(service, generate([1], { output: { json_schema: { type: 'string', maxLength: 901 } } }), hangUp.signal)
    hangUp.abort()
    await assert.rejects(asked, { name: 'AbortError' })
    const { running, waiting } = service.service.status()
    assert.deepEqual([running, waiting], [0, 0])
  })
})
