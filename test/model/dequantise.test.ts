import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { closeSync, openSync, readFileSync } from 'node:fs'
import { suite, test } from 'node:test'
import { readRange } from '../../src/model/byte-reader.js'
import { dequantise } from '../../src/model/dequantise.js'
import { float16Values, widen } from '../../src/model/float-formats.js'
import { readGguf } from '../../src/model/gguf.js'
import { fixturesFolder } from '../support/shared.js'

const folder = fixturesFolder('gguf')

suite('dequantise()', { skip: folder === null && 'no reference numbers (PERMAFROST_FIXTURES)' }, () => {
  interface Reference { name: string, type: string, shape: number[], offset: number, bytes: number, sha256: string }
  const path = `${folder}/types.gguf`
  const { tensors } = folder === null ? { tensors: new Map() } : readGguf(path)
  const references: Reference[] = folder === null ? [] : JSON.parse(readFileSync(`${folder}/types.json`, 'utf8')).tensors
  for (const reference of references) {
    test(`${reference.name} is float32 bit for bit`, () => {
      const tensor = tensors.get(reference.name)
      assert.ok(tensor)
      assert.deepEqual({ type: tensor.type, shape: tensor.shape, offset: tensor.offset, bytes: tensor.bytes },
        { type: reference.type, shape: reference.shape, offset: reference.offset, bytes: reference.bytes })
      const fd = openSync(path, 'r')
      const values = dequantise(readRange(fd, tensor.offset, tensor.bytes), tensor.type)
      closeSync(fd)
      assert.equal(createHash('sha256').update(new Uint8Array(values.buffer)).digest('hex'), reference.sha256)
    })
  }
})

suite('half precision', () => {
  test('float16 keeps subnormals, the sign of zero and the largest value', () => {
    const table = float16Values()
    assert.ok(Object.is(table[0x8000], -0))
    assert.deepEqual([table[1], table[0x3c00], table[0xc000], table[0x7bff], table[0x7c00]], [2 ** -24, 1, -2, 65504, Infinity])
    assert.ok(Number.isNaN(table[0x7e00]))
  })

  test('values are read from bytes at an odd offset', () => {
    const bytes = new Uint8Array([9, 0x80, 0x3f, 0x00, 0xc0]).subarray(1)
    assert.deepEqual([...widen(bytes, 'BF16')], [1, -2])
    const single = new Uint8Array(5)
    new DataView(single.buffer).setFloat32(1, 0.1, true)
    assert.deepEqual([...widen(single.subarray(1), 'F32')], [Math.fround(0.1)])
  })
})
