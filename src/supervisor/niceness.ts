import { getPriority, setPriority } from 'node:os'
import { writeFile } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'

/** Without privileges the kernel takes one change in 0.1 s, of all processes together. */
const RETRY_MS = 150
const MAX_TRIES = 20

/**
 * Say how much of the CPU a process that has just started and leads a session of its own takes beside others. Where the
 * kernel shares the CPU by session first (sched(7), "The autogroup feature"), the nice value of a process counts only
 * inside its session, so the session gets the same. A kernel that refuses (below 0 it wants privileges) is left as it is:
 * this is a matter of speed only. Whoever gives way more already stays so.
 * @param niceness -20 to 19
 */
export async function setNiceness (pid: number, niceness: number): Promise<void> {
  try {
    if (niceness < 0 || getPriority(pid) < niceness) setPriority(pid, niceness)
  } catch {
    // The process has ended, or may not go before others.
  }
  for (let tries = 0; tries < MAX_TRIES; tries++) {
    try {
      await writeFile(`/proc/${pid}/autogroup`, String(niceness))
      return
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') return
      await sleep(RETRY_MS, undefined, { ref: false })
    }
  }
}
