import assert from 'node:assert/strict'
import { after, before, suite, test } from 'node:test'
import { digestOf } from '../../src/digest.js'
import type { FileRecord } from '../../src/registry/registry.js'
import { openTestbed, refused, type Testbed } from './testbed.js'

function file (id: string, day: number): FileRecord {
  return { id, name: 'train.jsonl', bytes: 12, rows: 2, digest: digestOf(id), createdAt: `2026-01-0${day}T00:00:00.000Z` }
}

suite('files', () => {
  let bed: Testbed
  before(async () => { bed = await openTestbed() })
  after(async () => await bed.close())

  test('are remembered for their tenant, oldest first, until they are removed', async () => {
    await bed.registry.addFile('a', file('file_2', 2))
    await bed.registry.addFile('a', file('file_1', 1))
    assert.deepEqual(await bed.registry.getFile('a', 'file_1'), file('file_1', 1))
    assert.deepEqual(await bed.registry.listFiles('a'), [file('file_1', 1), file('file_2', 2)])
    assert.deepEqual(await bed.registry.listFiles('b'), [])
    await assert.rejects(bed.registry.getFile('b', 'file_1'), refused('file_not_found'))
    await assert.rejects(bed.registry.removeFile('b', 'file_1'), refused('file_not_found'))
    await bed.registry.removeFile('a', 'file_1')
    await assert.rejects(bed.registry.getFile('a', 'file_1'), refused('file_not_found'))
  })
})
