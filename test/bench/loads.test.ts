/** What the serving benchmarks ask of the engine, on a tiny base. */
import assert from 'node:assert/strict'
import { after, before, suite, test } from 'node:test'
import { pino } from 'pino'
import { ManyPrompts } from '../../bench/many/prompts.js'
import { traffic } from '../../bench/many/traffic.js'
import { withoutPrompts, withPrompts } from '../../bench/serving/own-engine.js'
import { CApiEngine } from '../../src/inference/engine/c-api.js'
import { startService } from '../../src/inference/start-service.js'
import { METHODS } from '../../src/prompt/methods.js'
import { tinyBase, type TestBase } from '../inference/tiny-base.js'
import { classification, generate, promptFiles, SETTINGS, tinyService } from '../inference/tiny-service.js'
import { seededNumbers } from '../support/numbers.js'

suite('loads of the serving benchmarks', () => {
  let tiny: TestBase
  before(async () => { tiny = await tinyBase() })
  after(async () => { await tiny.dispose() })

  test('rows with prompts and without: the time of each token of each row', async () => {
    const service = await tinyService(tiny.base)
    try {
      const prompts = [1, 2].map(seed => service.artifacts.put(promptFiles(tiny.base, { method: 'prompt-tuning', virtualTokens: 3, value: seededNumbers(seed) })))
      const load = { rows: prompts.map((_, prompt) => ({ prompt, context: [1, 2, 3], input: [4, 5] })), maxTokens: 6 }
      for (const subject of [withPrompts(service, prompts), withoutPrompts(service)]) {
        const { begunAt, tokens } = await subject.run(load)
        assert.deepEqual(tokens.map(times => times.length), [6, 6])
        for (const times of tokens) assert.deepEqual(times, [...times].sort((a, b) => a - b))
        assert.ok(tokens.every(times => times[0]! >= begunAt))
      }
      assert.equal(service.artifacts.gets, 2)
    } finally {
      await service.stop(0)
    }
  })

  for (const method of METHODS) {
    test(`${method}: traffic over many prompts answers each request once and reads each prompt once`, async () => {
      const store = new ManyPrompts(tiny.base, method, 5)
      const service = await startService(tiny.base, store, SETTINGS, pino({ level: 'silent' }), CApiEngine.open)
      try {
        const requests = Array.from({ length: 23 }, (_, index) => {
          const prompt = store.digests[index % 5]!
          return index % 2 === 0 ? classification([1, 2, 3], prompt) : generate([1, 2, 3], { prompt, maxTokens: 3 })
        })
        const { latencies, seconds } = await traffic(service, requests, 4)
        assert.equal(latencies.length, 23)
        assert.ok(latencies.every(latency => latency > 0 && latency <= 1000 * seconds))
        assert.equal(store.gets, 5)
      } finally {
        await service.stop(0)
      }
    })
  }

  test('no two of many prompts are equal', async () => {
    const store = new ManyPrompts(tiny.base, 'prompt-tuning', 3)
    const files = await Promise.all(store.digests.map(async digest => Buffer.from((await store.get(digest)).get('adapter_model.safetensors')!).toString('base64')))
    assert.equal(new Set(files).size, 3)
  })
})
