import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { rotateRows, rotationPlan, unrotateRows } from '../../src/model/rotate.js'

/** Q itself: the rotated identity. */
function matrix (width: number, seed: number): Float32Array {
  const identity = new Float32Array(width * width)
  for (let i = 0; i < width; i++) identity[i * width + i] = 1
  return rotateRows(identity, width, rotationPlan(width, seed))
}

const parity = (x: number): number => x.toString(2).replaceAll('0', '').length % 2
/** The first column of Q has the signs, times 1/√width. */
const signs = (seed: number): string => [...matrix(16, seed)].filter((_, i) => i % 16 === 0).map(value => value > 0 ? '+' : '-').join('')

suite('rotateRows()', () => {
  test('splits a width into its odd part and its power of two', () => {
    assert.deepEqual([576, 64, 15, 48].map(width => rotationPlan(width, 7)), [
      { odd: 9, power: 64, seed: 7 }, { odd: 1, power: 64, seed: 7 }, { odd: 15, power: 1, seed: 7 }, { odd: 3, power: 16, seed: 7 }
    ])
  })

  for (const width of [1, 2, 8, 15, 48, 72]) {
    test(`is orthogonal for rows of ${width}`, () => {
      const q = matrix(width, 11)
      for (let a = 0; a < width; a++) {
        for (let b = 0; b < width; b++) {
          let dot = 0
          for (let k = 0; k < width; k++) dot += q[a * width + k]! * q[b * width + k]!
          assert.ok(Math.abs(dot - (a === b ? 1 : 0)) < 1e-6, `rows ${a} and ${b}: ${dot}`)
        }
      }
    })
  }

  test('equals diag(signs) (DCT ⊗ Hadamard) / √power written out', () => {
    const [odd, power] = [3, 4]
    const q = matrix(12, 5)
    for (let row = 0; row < 12; row++) {
      const [i, j] = [Math.floor(row / power), row % power]
      const unsigned = Array.from({ length: 12 }, (_, column) => {
        const [k, l] = [Math.floor(column / power), column % power]
        const cosine = Math.sqrt((k === 0 ? 1 : 2) / odd) * Math.cos(Math.PI * (2 * i + 1) * k / (2 * odd))
        return cosine * (parity(j & l) ? -1 : 1) / 2
      })
      const sign = Math.sign(q[row * 12]! / unsigned[0]!)
      unsigned.forEach((value, column) => { assert.ok(Math.abs(q[row * 12 + column]! - sign * value) < 1e-7, `${row}, ${column}`) })
    }
  })

  test('unrotateRows() takes it back', () => {
    const rows = Float32Array.from({ length: 3 * 40 }, (_, i) => Math.sin(i * i))
    const plan = rotationPlan(40, 3)
    const back = unrotateRows(rotateRows(rows, 40, plan), 40, plan)
    assert.ok(rows.every((value, i) => Math.abs(value - back[i]!) < 1e-6))
  })

  test('signs belong to the seed for ever', () => {
    // Stored serving graphs depend on these.
    assert.equal(signs(1), signs(1))
    assert.notEqual(signs(1), signs(2))
    assert.equal(signs(20_240_401), '+-++----++-+++--')
  })

  test('rows of another width are a mistake of ours', () => {
    assert.throws(() => rotateRows(new Float32Array(8), 8, rotationPlan(16, 1)), /internal/)
  })
})
