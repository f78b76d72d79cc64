import assert from 'node:assert/strict'
import { after, before, suite, test } from 'node:test'
import { compileOutput } from '../../src/constraint/compile.js'
import { OutputCompiler } from '../../src/constraint/compiler.js'
import type { Output } from '../../src/constraint/output.js'

/** Some ten thousand states: a tenth of a second or more. */
const SLOW: Output = { json_schema: { type: 'string', maxLength: 1000 } }

suite('the thread that compiles outputs', () => {
  let compiler: OutputCompiler
  before(() => { compiler = new OutputCompiler() })
  after(async () => await compiler.close())

  test('answers what the function answers, tables and refusals', async () => {
    for (const output of [{ choices: ['yes', 'no'] }, { regex: '[a-z]{1,5}' }]) assert.deepEqual(await compiler.compile(output, 't'), compileOutput(output))
    await assert.rejects(compiler.compile({ regex: '(a)\\1' }, 't'), { code: 'invalid_request', param: 'output/regex', message: '\\1 (a back-reference) is not supported' })
    await assert.rejects(compiler.compile({ json_schema: { type: 'string', format: 'date' } }, 't'), { code: 'invalid_request', param: 'output/json_schema/format' })
  })

  test('tenants take turns: one that asks once does not wait for all of another', async () => {
    const order: string[] = []
    const asked = ['many', 'many', 'many', 'many', 'once'].map(async (tenant, index) => {
      await compiler.compile({ regex: `[a-z]{${index + 1}}` }, tenant)
      order.push(tenant)
    })
    await Promise.all(asked)
    assert.deepEqual(order, ['many', 'once', 'many', 'many', 'many'])
  })

  test('one that takes longer than the deadline is refused; the next gets another thread', async () => {
    const hurried = new OutputCompiler(1)
    try {
      await assert.rejects(hurried.compile(SLOW, 't'), { code: 'invalid_request', param: 'output', message: 'too expensive: it takes longer than 1 ms to compile' })
      await assert.rejects(hurried.compile(SLOW, 't'), { param: 'output' })
    } finally {
      await hurried.close()
    }
  })

  test('closing refuses what waits and what comes', async () => {
    const closed = new OutputCompiler()
    const waiting = [closed.compile(SLOW, 't'), closed.compile({ choices: ['a'] }, 't')]
    const settled = Promise.allSettled(waiting)
    await closed.close()
    assert.deepEqual((await settled).map(({ status }) => status), ['rejected', 'rejected'])
    await assert.rejects(closed.compile({ choices: ['a'] }, 't'), { code: 'inference_unavailable' })
  })
})
