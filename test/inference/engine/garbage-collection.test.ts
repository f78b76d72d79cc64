import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { test } from 'node:test'
import { promisify } from 'node:util'
import { tinyBase } from '../tiny-base.js'

test('an idle engine outlives a garbage collection: nothing native hangs on an object that nobody holds', async () => {
  const { base, dispose } = await tinyBase()
  try {
    const { stdout } = await promisify(execFile)(process.execPath, ['--expose-gc', join(import.meta.dirname, 'step-after-gc.js'), base.folder])
    assert.equal(stdout, 'finite\n')
  } finally {
    await dispose()
  }
})
