export const STOP_REASONS = ['worker_stops', 'job_cancelled', 'lock_lost'] as const

/**
 * Why a running job ends before its time; none is an error. `worker_stops`: its state is saved and the job goes back to
 * the queue. `job_cancelled`: its state is removed. `lock_lost`: another worker may have it, so nothing is touched.
 */
export type StopReason = typeof STOP_REASONS[number]

export class JobStopped extends Error {
  override readonly name = 'JobStopped'
  readonly reason: StopReason

  constructor (reason: StopReason) {
    super(reason)
    this.reason = reason
  }
}
