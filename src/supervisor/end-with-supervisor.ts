/** Nobody is left who would wait for more. */
const GRACE_MS = 2000

/**
 * For a process under a supervisor: when that one dies, however it dies, the kernel closes the channel between them, and
 * this process stops as on SIGTERM. Does nothing in a process that was started by hand.
 */
export function endWithSupervisor (): void {
  if (process.channel === undefined) return
  process.once('disconnect', () => {
    setTimeout(() => process.exit(1), GRACE_MS)
    process.kill(process.pid, 'SIGTERM')
  })
  // The channel alone is no reason to stay.
  process.channel.unref()
}
