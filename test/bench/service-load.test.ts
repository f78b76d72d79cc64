/** What the benchmarks of the whole service compute and decide. */
import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { poissonArrivals } from '../../bench/load/traffic.js'
import { Production } from '../../bench/soak/production.js'
import { drift, sparkline } from '../../bench/soak/resident.js'
import { digestOf } from '../../src/digest.js'

suite('arrivals', () => {
  test('as many as the rate says, at random, and the same for the same seed', () => {
    const arrivals = poissonArrivals(20, 500, 3)
    // Four standard deviations.
    assert.ok(Math.abs(arrivals.length - 10_000) < 400, String(arrivals.length))
    assert.ok(arrivals.every((at, i) => at >= (arrivals[i - 1] ?? 0) && at < 500_000))
    const gaps = arrivals.map((at, i) => at - (arrivals[i - 1] ?? 0))
    // Of an exponential distribution 1/e is longer than the mean.
    assert.ok(Math.abs(gaps.filter(gap => gap > 50).length / gaps.length - Math.exp(-1)) < 0.02)
    assert.deepEqual(poissonArrivals(20, 500, 3), arrivals)
    assert.notDeepEqual(poissonArrivals(20, 500, 4), arrivals)
  })
})

suite('production over time', () => {
  const [first, second] = [digestOf('first'), digestOf('second')]
  const production = new Production()
  production.moving(first, 0)
  production.moving(second, 100)
  production.moved(110)

  test('before a move the old version, during it either, after it the new one', () => {
    assert.deepEqual([first, second].map(digest => production.was(digest, 50, 90)), [true, false])
    assert.deepEqual([first, second].map(digest => production.was(digest, 104, 106)), [true, true])
    assert.deepEqual([first, second].map(digest => production.was(digest, 111, 120)), [false, true])
  })
  test('a request across a move may be answered by both, an unknown version by none', () => {
    assert.deepEqual([first, second].map(digest => production.was(digest, 90, 150)), [true, true])
    assert.equal(production.was(digestOf('third'), 0, 200), false)
  })
  test('a version may come back', () => {
    production.moving(first, 200)
    production.moved(210)
    assert.deepEqual([first, second].map(digest => production.was(digest, 220, 230)), [true, false])
    assert.equal(production.was(first, 150, 160), false)
  })
})

suite('memory over time', () => {
  test('drift is from the second to the last fifth: warm-up and single peaks do not count', () => {
    const flat = [10, 50, 100, 100, 100, 100, 900, 100, 100, 100, 100, 100, 103, 103, 103]
    assert.ok(Math.abs(drift(flat) - 0.03) < 1e-12)
    assert.equal(drift([1, 2, 2, 2, 1]), -0.5)
  })
  test('a bar for each part, from the least to the most', () => {
    assert.equal(sparkline([0, 1, 2, 3, 4, 5, 6, 7], 8), '▁▂▃▄▅▆▇█')
    assert.equal(sparkline([0, 0, 7, 7], 2), '▁█')
    assert.equal(sparkline([5, 5, 5], 2), '▁▁')
  })
})
