import { linkSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { identityOf, isAlive } from './process-identity.js'

export class HomeInUseError extends Error { override readonly name = 'HomeInUseError' }

/**
 * Take the lock file for this process; the answer gives it back. A lock whose holder is dead is taken over.
 * @throws HomeInUseError naming the process that holds it.
 */
export function lockHome (file: string): () => void {
  const mine = identityOf(process.pid) ?? String(process.pid)
  const draft = `${file}.${process.pid}`
  writeFileSync(draft, mine)
  try {
    // link(2) fails when the name exists: of two that start at once, one wins.
    if (!tryLink(draft, file)) {
      refuseIfAlive(readOrEmpty(file))
      takeAway(file)
      if (!tryLink(draft, file)) refuseIfAlive(readOrEmpty(file))
    }
  } finally {
    rmSync(draft, { force: true })
  }
  return () => {
    if (readOrEmpty(file) === mine) rmSync(file, { force: true })
  }
}

function refuseIfAlive (holder: string): void {
  if (!isAlive(holder)) return
  throw new HomeInUseError(`another Permafrost (process ${holder.split(' ')[0]}) runs on this PERMAFROST_HOME; stop it first, or set another PERMAFROST_HOME and PORT`)
}

/** Between reading and removing, another start may have put its own lock there: what was removed is looked at again. */
function takeAway (file: string): void {
  const aside = `${file}.${process.pid}.stale`
  try {
    renameSync(file, aside)
  } catch {
    return
  }
  const holder = readOrEmpty(aside)
  if (isAlive(holder)) tryLink(aside, file)
  rmSync(aside, { force: true })
  refuseIfAlive(holder)
}

function tryLink (from: string, to: string): boolean {
  try {
    linkSync(from, to)
    return true
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false
    throw error
  }
}

function readOrEmpty (file: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch {
    return ''
  }
}
