import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { suite, test } from 'node:test'
import { tar } from '../../src/api/tar.js'

const hasTar = spawnSync('tar', ['--version']).status === 0

suite('tar()', () => {
  test('is read by tar', { skip: hasTar ? false : 'needs tar on PATH' }, () => {
    const folder = 'f'.repeat(130)
    const archive = tar(folder, [['a.json', Buffer.from('{"a":1}')], ['empty', Buffer.alloc(0)], ['big.bin', Buffer.alloc(1024, 7)]])
    assert.equal(archive.length % 512, 0)
    const listed = spawnSync('tar', ['-tf', '-'], { input: archive })
    assert.equal(listed.status, 0, listed.stderr.toString())
    assert.equal(listed.stdout.toString(), `${folder}/a.json\n${folder}/empty\n${folder}/big.bin\n`)
    const extracted = spawnSync('tar', ['-xOf', '-', `${folder}/a.json`], { input: archive })
    assert.equal(extracted.stdout.toString(), '{"a":1}')
    assert.deepEqual(spawnSync('tar', ['-xOf', '-', `${folder}/big.bin`], { input: archive }).stdout, Buffer.alloc(1024, 7))
  })

  test('gives the same bytes for the same files', () => {
    assert.deepEqual(tar('f', [['a', Buffer.from('x')]]), tar('f', [['a', Buffer.from('x')]]))
  })
})
