import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { quantiseColumns, quantiseRows } from '../../src/model/quantise.js'
import { smoothingScales } from '../../src/model/smooth.js'

suite('quantise', () => {
  test('rows become columns of int8 with one scale each', () => {
    const { values, scale } = quantiseRows(Float32Array.of(127, -63.5, 0.5, 0, 0, 0, -2, 1, 0.5), 3)
    assert.deepEqual([...scale], [1, 0, Math.fround(2 / 127)])
    // 63.5 and 0.5 lie half way: to even.
    assert.deepEqual([...values], [127, 0, -127, -64, 0, 64, 0, 0, 32])
  })

  test('both orientations agree', () => {
    const [outputs, inputs] = [70, 9]
    const rows = Float32Array.from({ length: outputs * inputs }, (_, i) => Math.sin(i * 1.7) * (1 + i % 5))
    const columns = Float32Array.from(rows, (_, at) => rows[at % outputs * inputs + Math.floor(at / outputs)]!)
    assert.deepEqual(quantiseRows(rows, outputs), quantiseColumns(columns, outputs))
  })

  test('the error of a value is at most half a step', () => {
    const weights = Float32Array.from({ length: 640 }, (_, i) => Math.cos(i * i))
    const { values, scale } = quantiseColumns(weights, 10)
    weights.forEach((weight, i) => { assert.ok(Math.abs(weight - values[i]! * scale[i % 10]!) <= scale[i % 10]! * 0.5000001) })
  })
})

suite('smoothingScales()', () => {
  test('have geometric mean 1 and grow with the activation', () => {
    const scales = smoothingScales(Float32Array.of(1, 32, 1), Float32Array.of(1, 1, 32))
    assert.ok(Math.abs(scales.reduce((product, scale) => product * scale, 1) - 1) < 1e-6)
    assert.ok(Math.abs(scales[1]! / scales[0]! - 32 ** 0.4) < 1e-5)
    assert.ok(Math.abs(scales[0]! / scales[2]! - 32 ** 0.6) < 1e-5)
  })

  test('a channel that was never active stays finite', () => {
    assert.ok(smoothingScales(Float32Array.of(0, 1), Float32Array.of(0, 1)).every(scale => Number.isFinite(scale) && scale > 0))
  })
})
