import { getPriority, setPriority } from 'node:os'
import { writeFile } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'

/** Without privileges the kernel takes one change in 0.1 s, of all processes together. */
const RETRY_MS = 150
const MAX_TRIES = 20

/**
 * Let a process that has just started and leads a session of its own give way to others. Where the kernel shares the CPU
 * by session first (sched(7), "The autogroup feature"), the nice value of a process counts only inside its session, so
 * the session gets the same. A kernel that refuses is left as it is: this is a matter of speed only.
 * @param niceness 1 to 19
 */
export async function lowerPriority (pid: number, niceness: number): Promise<void> {
  try {
    if (getPriority(pid) < niceness) setPriority(pid, niceness)
  } catch {
    // The process has ended.
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
