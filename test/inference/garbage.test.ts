import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { test } from 'node:test'
import { promisify } from 'node:util'

/**
 * Measured: 3,300 to 6,300, as V8 has compiled more or less of it; of 3,800, 1,300 are the call into ONNX Runtime and its
 * promise, and 70 each row's event. With arrays and a key made for each step it was 26,900.
 */
const MOST_BYTES = 10_000

test('a decode step of 16 rows makes next to no garbage: nothing for each number, and little for each row', async () => {
  // Young objects get so much room that none is collected in between.
  const { stdout } = await promisify(execFile)(process.execPath, ['--min-semi-space-size=256', '--max-semi-space-size=256', join(import.meta.dirname, 'decode-garbage.js')])
  const bytes = Number(stdout)
  assert.ok(bytes > 0 && bytes <= MOST_BYTES, `${bytes} bytes for each step`)
})
