import assert from 'node:assert/strict'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { suite, test } from 'node:test'
import { MalformedModelError } from '../../src/errors.js'
import { floatValues, parseSafetensors } from '../../src/model/safetensors.js'
import { SafetensorsFile } from '../../src/model/safetensors-file.js'
import { encodeSafetensors, float32Header } from '../../src/model/safetensors-writer.js'
import { fixturesFolder } from '../support/shared.js'

interface Entry { path: string, kind: string, expect: 'accept' | 'reject', say: string }
const folder = fixturesFolder('malformed')
const entries: Entry[] = folder === null ? [] : JSON.parse(readFileSync(`${folder}/manifest.json`, 'utf8')).entries.filter((entry: Entry) => entry.kind === 'safetensors')

suite('malformed safetensors files', { skip: folder === null && 'no reference files (PERMAFROST_FIXTURES)' }, () => {
  for (const { path, expect, say } of entries) {
    test(`${path}: ${expect}`, () => {
      if (expect === 'accept') return new SafetensorsFile(`${folder}/${path}`).close()
      assert.throws(() => new SafetensorsFile(`${folder}/${path}`), (error: unknown) => {
        assert.ok(error instanceof MalformedModelError, String(error))
        const facts = say.match(/'[^']+'|\d{4,}/g) ?? []
        for (const fact of facts) assert.ok(error.message.includes(fact), `${fact} is not in: ${error.message}`)
        return true
      })
      assert.throws(() => parseSafetensors(readFileSync(`${folder}/${path}`)), MalformedModelError)
    })
  }
})

suite('safetensors', () => {
  const tensors = new Map([
    ['a', { shape: [2, 3], values: Float32Array.of(1, 2, 3, -4, 5.5, -0) }],
    ['__proto__', { shape: [], values: Float32Array.of(7) }],
    ['none', { shape: [0, 4], values: new Float32Array(0) }]
  ])

  test('reads back what was written', () => {
    const file = encodeSafetensors(tensors, { format: 'pt' })
    const header = parseSafetensors(file)
    assert.deepEqual([...header.metadata], [['format', 'pt']])
    assert.deepEqual([...header.tensors.keys()], [...tensors.keys()])
    for (const [name, { shape, values }] of tensors) {
      const entry = header.tensors.get(name)!
      assert.deepEqual(entry.shape, shape)
      assert.deepEqual(floatValues(name, entry, file.subarray(entry.offset, entry.offset + entry.bytes)), values)
    }
  })

  test('the data section starts at the asked alignment', () => {
    const { header, offsets, fileBytes } = float32Header([{ name: 'x', shape: [3] }, { name: 'y', shape: [5] }], { alignment: 4096 })
    assert.equal(header.length, 4096)
    assert.deepEqual([...offsets], [['x', 4096], ['y', 4108]])
    assert.equal(fileBytes, 4128)
  })

  test('a value that is not finite is named with its index', () => {
    const home = mkdtempSync(join(tmpdir(), 'permafrost-safetensors-'))
    try {
      const path = join(home, 'x.safetensors')
      writeFileSync(path, encodeSafetensors(new Map([['w', { shape: [4], values: Float32Array.of(0, -Infinity, 1, NaN) }]])))
      const file = new SafetensorsFile(path)
      assert.throws(() => file.read('w'), { message: 'w contains 2 values that are not finite (-Infinity at index 1)' })
      file.close()
    } finally {
      rmSync(home, { recursive: true })
    }
  })
})
