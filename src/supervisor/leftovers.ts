/** Child processes on record, so that the next start finds those of a supervisor that was killed. */
import { appendFileSync, readFileSync, rmSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { identityOf, isAlive } from './process-identity.js'

const POLL_MS = 20

export function recordChild (file: string, pid: number): void {
  const identity = identityOf(pid)
  if (identity !== null) appendFileSync(file, `${identity}\n`)
}

export function forgetChildren (file: string): void {
  rmSync(file, { force: true })
}

/** They end by themselves within seconds; a new start does not wait for that. */
export async function endLeftovers (file: string, say: (line: string) => void): Promise<void> {
  const alive = recorded(file).filter(isAlive)
  for (const identity of alive) {
    const pid = Number(identity.split(' ')[0])
    say(`process ${pid} of an earlier start still runs; ending it`)
    process.kill(pid, 'SIGKILL')
  }
  while (alive.some(isAlive)) await sleep(POLL_MS)
  forgetChildren(file)
}

function recorded (file: string): string[] {
  try {
    return readFileSync(file, 'utf8').split('\n').filter(line => line !== '')
  } catch {
    return []
  }
}
