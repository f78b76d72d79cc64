import assert from 'node:assert/strict'
import { after, before, beforeEach, suite, test } from 'node:test'
import type { InferAnswer } from '../answers.js'
import { byteTokenizer, END } from '../byte-tokenizer.js'
import { refuses, type Script } from '../scripted-inference.js'
import { ServiceError } from '../../../src/errors.js'
import { type Caller, openTestbedWithTasks, refusal, type Testbed } from '../testbed.js'

const TEXTS = ['größe', 'gros', 'g', '']

/** As many answers as were asked for, each beam worth four tokens. */
const beams: Script = function * ({ work }) {
  if (work.kind !== 'beams') throw new Error('the test asked for something else')
  const answers = TEXTS.slice(0, work.answers).map((text, place) => ({ ids: byteTokenizer.encode(text), score: -place, reason: place === 0 ? 'stop' as const : 'length' as const }))
  yield { type: 'beams', beams: answers, generated: work.beams * 4, virtualTokens: 16, timing: { queueMs: 1, prefillMs: 2, decodeMs: 3 } }
}

suite('POST /v1/tasks/{task}/infer: beam search', () => {
  const url = '/v1/tasks/writer/infer'
  let bed: Testbed
  let caller: Caller

  before(async () => { ({ bed, caller } = await openTestbedWithTasks({ template: '{input}>' })) })
  after(async () => await bed.close())
  beforeEach(() => {
    bed.inference.script = beams
    bed.inference.requests.length = 0
  })

  test('answers the best one with its score, and what all beams cost', async () => {
    const { status, body } = await caller.post<InferAnswer>(url, { input: 'a', num_beams: 4 })
    assert.equal(status, 200)
    assert.deepEqual([body.text, body.finish_reason, body.score, body.choices], ['größe', 'stop', 0, undefined])
    assert.deepEqual(body.usage, { prompt_tokens: 2, virtual_tokens: 16, completion_tokens: 16 })
    assert.deepEqual({ ...body.timing_ms, total: 0 }, { queue: 1, prefill: 2, decode: 3, total: 0 })
    assert.deepEqual(bed.inference.requests.map(({ work }) => work), [{ kind: 'beams', maxTokens: 128, stopTokenIds: [END], beams: 4, answers: 1, lengthPenalty: 1, earlyStopping: false }])
  })

  test('answers n of them as choices, with the options as they were given', async () => {
    const { body } = await caller.post<InferAnswer>(url, { input: 'a', num_beams: 4, n: 3, max_tokens: 9, length_penalty: -0.5, early_stopping: 'never' })
    assert.deepEqual(body.choices, [{ text: 'größe', finish_reason: 'stop', score: 0 }, { text: 'gros', finish_reason: 'length', score: -1 }, { text: 'g', finish_reason: 'length', score: -2 }])
    assert.deepEqual([body.text, body.usage.prompt_tokens], [undefined, 2])
    assert.deepEqual(bed.inference.requests.map(({ work }) => work), [{ kind: 'beams', maxTokens: 9, stopTokenIds: [END], beams: 4, answers: 3, lengthPenalty: -0.5, earlyStopping: 'never' }])
  })

  test('passes on what the engine refuses by name', async () => {
    bed.inference.script = refuses(new ServiceError('invalid_request', '9 beams, this service runs 8 rows at once', { param: 'num_beams' }))
    assert.deepEqual(refusal(await caller.post(url, { input: 'a', num_beams: 9 })), { status: 400, code: 'invalid_request', param: 'num_beams' })
  })

  test('refuses by name what a search does not do, and its options without it', async () => {
    const others = { temperature: 0.5, top_p: 0.9, top_k: 4, min_p: 0.1, seed: 3, repetition_penalty: 1.1, presence_penalty: 1, frequency_penalty: 1, stop: 'x', logprobs: 0, stream: true }
    const cases: Array<[task: string, body: object, param: string]> = [
      ...Object.entries(others).map(([field, value]): [string, object, string] => ['writer', { num_beams: 2, [field]: value }, field]),
      ['writer', { num_beams: 0 }, 'num_beams'], ['writer', { num_beams: 17 }, 'num_beams'], ['writer', { num_beams: 2, n: 3 }, 'n'],
      ['writer', { num_beams: 2, length_penalty: 11 }, 'length_penalty'], ['writer', { num_beams: 2, early_stopping: 'always' }, 'early_stopping'],
      ['writer', { length_penalty: 1 }, 'length_penalty'], ['writer', { num_beams: 1, early_stopping: true }, 'early_stopping'],
      ['sentiment', { num_beams: 2 }, 'num_beams']
    ]
    for (const [task, body, param] of cases) {
      assert.deepEqual(refusal(await caller.post(`/v1/tasks/${task}/infer`, { input: 'a', ...body })), { status: 400, code: 'invalid_request', param }, JSON.stringify(body))
    }
    assert.equal(bed.inference.requests.length, 0)
  })
})
