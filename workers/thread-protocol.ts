/** What a worker process and its training thread say to each other. */
import type { Config } from '../src/config.js'
import type { ErrorCode } from '../src/errors.js'
import type { JobProgressEvent, TrainingJobData } from '../src/training/job.js'
import type { StopReason } from './job-stopped.js'
import type { TrainedPrompt } from './train.js'

export interface ThreadData {
  readonly data: TrainingJobData
  readonly config: Pick<Config, 'ARTIFACT_STORE' | 'PERMAFROST_HOME'>
  readonly baseFolder: string
  readonly threads: number
}

export interface ToThread { readonly stop: StopReason }

export type FromThread =
  | { readonly type: 'event', readonly event: JobProgressEvent }
  | { readonly type: 'trained', readonly trained: TrainedPrompt }
  | { readonly type: 'stopped', readonly reason: StopReason }
  /** Trying again cannot help. */
  | { readonly type: 'refused', readonly code: ErrorCode, readonly message: string }
  | { readonly type: 'failed', readonly message: string }
