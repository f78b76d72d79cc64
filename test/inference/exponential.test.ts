import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { exponential } from '../../src/inference/exponential.js'
import { seededNumbers } from '../support/numbers.js'

suite('exponential', () => {
  test('is that of the library within 2e-12 of it, from 0 down to where nothing is left', () => {
    const random = seededNumbers(7)
    let worst = 0
    for (let i = 0; i < 200_000; i++) {
      // Every order of magnitude: near 0, as scores lie apart, and to the end.
      const x = -(((random() + 1) / 2) ** 4) * 708
      worst = Math.max(worst, Math.abs(exponential(x) / Math.exp(x) - 1))
    }
    assert.ok(worst < 2e-12, `${worst}`)
  })

  test('is exact where a token is the best, and 0 where it is excluded', () => {
    assert.equal(exponential(0), 1)
    assert.equal(exponential(-0), 1)
    assert.equal(exponential(-Infinity), 0)
    assert.equal(exponential(-800), 0)
    assert.ok(Math.abs(exponential(-708) / Math.exp(-708) - 1) < 2e-12)
  })
})
