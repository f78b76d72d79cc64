import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { PassedOn } from '../../src/inference/client-answer.js'
import type { SequenceEvent } from '../../src/inference/protocol.js'

const token = (id: number): SequenceEvent => ({ type: 'token', id })
const finished: SequenceEvent = { type: 'finished', reason: 'length', virtualTokens: 0, timing: { queueMs: 0, prefillMs: 1, decodeMs: 2 } }
const failed: SequenceEvent = { type: 'failed', code: 'internal', message: 'the engine failed on this step' }
const other = { code: 'inference_unavailable', message: /does not give the same/ }

function after (...ids: number[]): PassedOn {
  const answer = new PassedOn()
  answer.begin()
  for (const id of ids) assert.deepEqual(answer.filter(token(id)), token(id))
  answer.begin()
  return answer
}

suite('an answer that is taken up', () => {
  test('leaves out what was passed on, then goes on', () => {
    const answer = after(5, 6)
    assert.deepEqual([5, 6, 7].map(id => answer.filter(token(id))), [null, null, token(7)])
    answer.begin()
    assert.deepEqual([token(5), token(6), token(7), finished].map(event => answer.filter(event)), [null, null, null, finished])
    assert.equal(answer.tokens, 3)
  })

  test('from before its first token is passed on whole', () => {
    assert.deepEqual([token(5), finished].map(event => after().filter(event)), [token(5), finished])
  })

  test('fails when it says another token, or ends before what was passed on', () => {
    const another = after(5, 6)
    another.filter(token(5))
    assert.throws(() => another.filter(token(9)), other)
    assert.throws(() => after(5).filter(finished), other)
  })

  test('may fail by itself', () => {
    assert.deepEqual(after(5, 6).filter(failed), failed)
  })
})
