import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { batchOrder, epochBatches, microBatches } from '../../workers/batches.js'
import { createRandom, shuffled } from '../../workers/random.js'

const random = createRandom(3)
const lengths = Array.from({ length: 203 }, () => 1 + random.below(60))
const example = (length: number, targetStart = length) => ({ ids: Array.from({ length }, () => 1), targetStart, label: targetStart === length ? 0 : null })

suite('batches', () => {
  test('every row occurs once in an epoch, and only the number of rows decides how many batches', () => {
    for (const [seed, epoch] of [[0, 0], [0, 1], [9, 4]] as const) {
      const batches = epochBatches(lengths, 16, seed, epoch)
      assert.deepEqual(batches.flat().sort((a, b) => a - b), [...lengths.keys()])
      assert.equal(batches.length, Math.ceil(203 / 16))
      assert.equal(batches.filter(batch => batch.length < 16).length, 1)
    }
  })

  test('the order depends on seed and epoch alone', () => {
    assert.deepEqual(epochBatches(lengths, 8, 5, 2), epochBatches(lengths, 8, 5, 2))
    assert.notDeepEqual(epochBatches(lengths, 8, 5, 2), epochBatches(lengths, 8, 5, 3))
    assert.notDeepEqual(epochBatches(lengths, 8, 5, 2), epochBatches(lengths, 8, 6, 2))
  })

  test('any step can be asked first', () => {
    const forward = batchOrder(lengths, 16, 1)
    const all = Array.from({ length: 40 }, (_, step) => forward(step))
    const resumed = batchOrder(lengths, 16, 1)
    for (const step of [17, 18, 39, 3]) assert.deepEqual(resumed(step), all[step])
  })

  test('rows of one batch are alike in length', () => {
    const spread = (batches: number[][]) => batches.reduce((sum, batch) => sum + Math.max(...batch.map(row => lengths[row]!)) - Math.min(...batch.map(row => lengths[row]!)), 0) / batches.length
    const order = shuffled([...lengths.keys()], createRandom(1))
    const unsorted = Array.from({ length: 13 }, (_, i) => order.slice(16 * i, 16 * i + 16))
    assert.ok(spread(epochBatches(lengths, 16, 0, 0)) < spread(unsorted) / 4)
  })

  test('a batch smaller than batch_size is one batch', () => {
    assert.deepEqual(epochBatches([5, 4], 16, 0, 0).map(batch => batch.length), [2])
  })

  test('micro-batches keep every row, stay under the budget, and share the total of the whole batch', () => {
    const batch = [example(10, 7), example(30, 10), example(5, 1), example(6, 2), example(9, 3)]
    const parts = microBatches(batch, 16)
    assert.deepEqual(parts.map(part => part.examples.map(row => row.ids.length)), [[5, 6], [9], [10], [30]])
    assert.ok(parts.every(part => part.totalPredictions === 3 + 20 + 4 + 4 + 6))
    assert.equal(microBatches([example(4), example(4), example(4)], 12)[0]!.totalPredictions, 3)
    assert.equal(microBatches([example(4), example(4), example(4)], 12).length, 1)
  })
})

function draw (...path: number[]): number[] {
  const stream = createRandom(1, ...path)
  return [stream.next(), stream.next(), stream.below(1000)]
}

function mean (values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length
}

suite('random numbers', () => {
  test('streams are reproducible and differ by path', () => {
    assert.deepEqual(draw(1, 2), draw(1, 2))
    const paths = [[], [0], [1], [2], [1, 2], [2, 1], [1, 2, 0]]
    assert.equal(new Set(paths.map(path => String(draw(...path)))).size, paths.length)
  })

  test('uniform and normal numbers have the moments they should have', () => {
    const stream = createRandom(11)
    const uniform = Array.from({ length: 20_000 }, () => stream.next())
    const normal = Array.from({ length: 20_000 }, () => stream.normal())
    assert.ok(Math.abs(mean(uniform) - 0.5) < 0.01 && Math.min(...uniform) >= 0 && Math.max(...uniform) < 1)
    assert.ok(Math.abs(mean(normal)) < 0.03 && Math.abs(mean(normal.map(value => value * value)) - 1) < 0.05)
  })
})
