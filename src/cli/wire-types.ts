/** The parts of the server's answers that the command line reads. */
import type { JobEvent, JobState } from '../training/job.js'
import type { TaskKind } from '../prompt/task-spec.js'

export interface Task { readonly name: string, readonly kind: TaskKind, readonly template: string, readonly labels: ReadonlyArray<{ readonly name: string, readonly token: string }> | null }

export interface Job {
  readonly id: string
  readonly state: JobState
  readonly task: string
  readonly method: { readonly type: string, readonly num_virtual_tokens: number }
  readonly recipe: Readonly<Record<string, unknown>>
  readonly version: number | null
  readonly error: { readonly code: string, readonly message: string } | null
}

export interface Answer {
  readonly label?: string
  readonly text?: string
  readonly choices?: ReadonlyArray<{ readonly text: string }>
  readonly scores?: Readonly<Record<string, number>>
  readonly error?: { readonly code: string, readonly message: string, readonly param?: string | null }
}
export interface InferAnswer extends Answer {
  readonly version: number | null
  readonly digest: string | null
  readonly ensemble?: ReadonlyArray<{ readonly version: number, readonly digest: string }>
  readonly results?: readonly Answer[]
}

export type { JobEvent }
