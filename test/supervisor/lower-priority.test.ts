import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readFileSync } from 'node:fs'
import { getPriority } from 'node:os'
import { test } from 'node:test'
import { lowerPriority } from '../../src/supervisor/lower-priority.js'

test('lowerPriority(): the process and the session it leads give way, and an ended one is no error', async () => {
  const children = [1, 2].map(() => spawn(process.execPath, ['-e', 'process.stdin.resume()'], { stdio: ['pipe', 'ignore', 'inherit'], detached: true }))
  const ends = children.map(child => once(child, 'exit'))
  try {
    // Together: a kernel that takes one change at a time is asked again.
    await Promise.all(children.map(async child => await lowerPriority(child.pid!, 10)))
    for (const { pid } of children) {
      assert.equal(getPriority(pid), Math.max(10, getPriority()))
      const session = `/proc/${pid}/autogroup`
      // Empty where the kernel groups processes in other ways.
      const text = existsSync(session) ? readFileSync(session, 'utf8') : ''
      if (text !== '') assert.match(text, / nice 10\n$/)
    }
  } finally {
    for (const child of children) child.stdin!.end()
    await Promise.all(ends)
  }
  await lowerPriority(children[0]!.pid!, 10)
})
