import { readFileSync } from 'node:fs'

/**
 * Process id and start time of a living process: unlike the id alone, never the same for two processes of one boot, so
 * that a lock left by a crash is not mistaken for a stranger that got the old number. Null when there is none.
 */
export function identityOf (pid: number): string | null {
  try {
    // The name in parentheses may hold spaces and parentheses; what follows the last one is regular (proc(5)).
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    return fields[0] === 'Z' ? null : `${pid} ${fields[19] ?? ''}`
  } catch {
    return null
  }
}

export function isAlive (identity: string): boolean {
  const pid = Number(identity.split(' ')[0])
  return Number.isInteger(pid) && pid > 0 && identityOf(pid) === identity
}
