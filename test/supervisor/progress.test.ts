import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { progressOf } from '../../src/supervisor/progress.js'

function record (isTTY: boolean): { isTTY: boolean, written: string[], write (text: string): void } {
  const written: string[] = []
  return { isTTY, written, write: text => { written.push(text) } }
}

suite('progressOf()', () => {
  test('writes one plain line for each tenth where there is no terminal', () => {
    const out = record(false)
    let time = 0
    const progress = progressOf('file', 10e6, out, () => time)
    for (let bytes = 0; bytes <= 10e6; bytes += 0.25e6) {
      time += 100
      progress.update(bytes)
    }
    progress.end()
    assert.equal(out.written.length, 10)
    assert.equal(out.written[4], 'file: 5.0 of 10.0 MB, 2.5 MB/s\n')
  })

  test('draws one bar over itself on a terminal, the last time when it is full', () => {
    const out = record(true)
    let time = 0
    const progress = progressOf('file', 100, out, () => time)
    for (let bytes = 0; bytes <= 100; bytes++) {
      time += 10
      progress.update(bytes)
    }
    progress.end()
    assert.ok(out.written.length < 15)
    assert.ok(out.written.at(-2)?.startsWith(`\r\x1b[K[${'#'.repeat(30)}] file`))
    assert.equal(out.written.at(-1), '\n')
  })
})
