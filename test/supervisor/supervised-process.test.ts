import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { suite, test } from 'node:test'
import { Backoff } from '../../src/supervisor/backoff.js'
import { identityOf } from '../../src/supervisor/process-identity.js'
import { type ProcessPlan, SupervisedProcess } from '../../src/supervisor/supervised-process.js'

function plan (script: string, overrides: Partial<ProcessPlan> = {}): ProcessPlan {
  return {
    name: 'probe',
    log: 'probe.log',
    graceMs: 10_000,
    spawn: () => spawn(process.execPath, ['-e', script], { stdio: ['ignore', 'ignore', 'ignore', 'ipc'] }),
    ready: async (child: ChildProcess, signal: AbortSignal) => { await once(child, 'message', { signal }).catch(() => {}) },
    askToEnd: (child: ChildProcess) => { child.kill('SIGTERM') },
    ...overrides
  }
}
const READY = 'process.send("ready"); setInterval(() => {}, 1000);'

/** Lines as they are said, and a promise of the first that matches. */
function listener (): { say (line: string): void, line (pattern: RegExp): Promise<string> } {
  const waiting: Array<{ pattern: RegExp, resolve (line: string): void }> = []
  return {
    say (line) { for (const { pattern, resolve } of waiting) if (pattern.test(line)) resolve(line) },
    line: async pattern => await new Promise(resolve => waiting.push({ pattern, resolve }))
  }
}

suite('SupervisedProcess', () => {
  test('starts a killed process again within a second', async () => {
    const lines = listener()
    const supervised = new SupervisedProcess(plan(READY), lines.say)
    await supervised.start()
    const first = supervised.pid ?? 0
    const back = lines.line(/is back/)
    const killed = performance.now()
    process.kill(first, 'SIGKILL')
    await back
    assert.ok(performance.now() - killed < 1000)
    assert.notEqual(supervised.pid, first)
    const second = supervised.pid ?? 0
    await supervised.stop()
    assert.equal(identityOf(second), null)
  })

  test('says with code and log file when a process ends before it was ready', async () => {
    const supervised = new SupervisedProcess(plan('process.exit(3)'), () => {})
    await assert.rejects(supervised.start(), /^Error: probe ended before it was ready \(exit code 3\); its output is in probe\.log$/)
  })

  test('says when the program can not be started at all', async () => {
    const supervised = new SupervisedProcess(plan('', { spawn: () => spawn('/no/such/program', { stdio: 'ignore' }) }), () => {})
    await assert.rejects(supervised.start(), /ENOENT/)
  })

  test('kills a process that does not end in its grace', async () => {
    const lines = listener()
    const supervised = new SupervisedProcess(plan(`process.on("SIGTERM", () => {}); ${READY}`, { graceMs: 50 }), lines.say)
    await supervised.start()
    const pid = supervised.pid ?? 0
    const late = lines.line(/did not end within 0\.05 s/)
    await supervised.stop()
    await late
    assert.equal(identityOf(pid), null)
  })

  test('stop during the wait before a restart leaves nothing behind', async () => {
    const lines = listener()
    const supervised = new SupervisedProcess(plan(READY), lines.say)
    await supervised.start()
    const again = lines.line(/starting it again/)
    process.kill(supervised.pid ?? 0, 'SIGKILL')
    await again
    await supervised.stop()
    assert.equal(supervised.pid, undefined)
  })
})

suite('Backoff', () => {
  test('doubles from 100 ms to 10 s and starts over after 30 s of health', () => {
    const backoff = new Backoff()
    assert.deepEqual(Array.from({ length: 9 }, () => backoff.next(0)), [100, 200, 400, 800, 1600, 3200, 6400, 10_000, 10_000])
    assert.equal(backoff.next(30_000), 100)
  })
})
