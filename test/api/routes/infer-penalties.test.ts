import assert from 'node:assert/strict'
import { after, before, beforeEach, suite, test } from 'node:test'
import { says } from '../scripted-inference.js'
import { type Caller, openTestbedWithTasks, refusal, type Testbed } from '../testbed.js'

suite('POST /v1/tasks/{task}/infer: penalties', () => {
  let bed: Testbed
  let caller: Caller

  before(async () => { ({ bed, caller } = await openTestbedWithTasks()) })
  after(async () => await bed.close())
  beforeEach(() => {
    bed.inference.script = says('fine')
    bed.inference.requests.length = 0
  })

  async function penaltiesOf (body: object): Promise<unknown> {
    assert.equal((await caller.post('/v1/tasks/writer/infer', { input: 'a', ...body })).status, 200)
    const work = bed.inference.requests.at(-1)?.work
    assert.ok(work?.kind === 'generate')
    return work.penalties
  }

  test('go to the engine as they were asked for, what is left out as none', async () => {
    assert.deepEqual(await penaltiesOf({ repetition_penalty: 1.2, presence_penalty: 0.5, frequency_penalty: -0.5 }), { repetition: 1.2, presence: 0.5, frequency: -0.5 })
    assert.deepEqual(await penaltiesOf({ frequency_penalty: 2 }), { repetition: 1, presence: 0, frequency: 2 })
    assert.equal(await penaltiesOf({ repetition_penalty: 1, presence_penalty: 0, frequency_penalty: 0 }), undefined)
    assert.equal(await penaltiesOf({}), undefined)
  })

  test('are refused by name beyond their limits and for a classification', async () => {
    for (const [field, values] of Object.entries({ repetition_penalty: [0, 10.5, '1'], presence_penalty: [-2.1, 2.1], frequency_penalty: [-2.1, 2.1] })) {
      for (const value of values) {
        assert.deepEqual(refusal(await caller.post('/v1/tasks/writer/infer', { input: 'a', [field]: value })), { status: 400, code: 'invalid_request', param: field })
      }
      assert.deepEqual(refusal(await caller.post('/v1/tasks/sentiment/infer', { input: 'a', [field]: 1 })), { status: 400, code: 'invalid_request', param: field })
    }
    assert.equal(bed.inference.requests.length, 0)
  })
})
