import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readFileSync } from 'node:fs'
import { getPriority } from 'node:os'
import { test } from 'node:test'
import { setNiceness } from '../../src/supervisor/niceness.js'

test('setNiceness(): the process and the session it leads give way, and an ended one is no error', async () => {
  const children = [1, 2].map(() => spawn(process.execPath, ['-e', 'process.stdin.resume()'], { stdio: ['pipe', 'ignore', 'inherit'], detached: true }))
  const ends = children.map(child => once(child, 'exit'))
  try {
    // Together: a kernel that takes one change at a time is asked again.
    await Promise.all(children.map(async child => await setNiceness(child.pid!, 10)))
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
  await setNiceness(children[0]!.pid!, 10)
})

test('setNiceness(): below 0 it holds where the user may, and is no error where not', async () => {
  const child = spawn(process.execPath, ['-e', 'process.stdin.resume()'], { stdio: ['pipe', 'ignore', 'inherit'], detached: true })
  const end = once(child, 'exit')
  try {
    const before = getPriority(child.pid)
    await setNiceness(child.pid!, -5)
    // Whether a user may is the kernel's to say, also of root in a container.
    assert.ok([-5, before].includes(getPriority(child.pid)), `niceness ${getPriority(child.pid)}`)
  } finally {
    child.stdin.end()
    await end
  }
})
