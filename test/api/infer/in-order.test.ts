import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { inOrder } from '../../../src/api/infer/in-order.js'

suite('inOrder()', () => {
  test('keeps the order, and never more than the limit under way', async () => {
    let underWay = 0
    let most = 0
    const results = await inOrder([3, 1, 2, 5, 4], 2, async (item, index) => {
      most = Math.max(most, ++underWay)
      for (let turn = 0; turn < item; turn++) await new Promise(setImmediate)
      underWay--
      return `${index}:${item}`
    })
    assert.deepEqual(results, ['0:3', '1:1', '2:2', '3:5', '4:4'])
    assert.equal(most, 2)
  })

  test('begins nothing after a rejection', async () => {
    const begun: number[] = []
    await assert.rejects(inOrder([0, 1, 2, 3, 4, 5], 2, async item => {
      begun.push(item)
      await new Promise(setImmediate)
      if (item === 1) throw new Error('no')
    }), /no/)
    await new Promise(setImmediate)
    assert.ok(begun.length <= 3, String(begun))
  })
})
