import type { SCHEDULES } from '../../src/training/job.js'

export interface ScheduleOptions {
  readonly schedule: typeof SCHEDULES[number]
  readonly learningRate: number
  readonly warmupSteps: number
  readonly steps: number
}

/**
 * Rate of step 0..steps-1: linear from 0 over the warm-up (so with one, step 0 moves nothing), then constant or half a
 * cosine towards 0, as transformers' `get_cosine_schedule_with_warmup`.
 */
export function scheduledRate ({ schedule, learningRate, warmupSteps, steps }: ScheduleOptions, step: number): number {
  if (step < warmupSteps) return learningRate * step / warmupSteps
  if (schedule === 'constant') return learningRate
  const progress = (step - warmupSteps) / Math.max(1, steps - warmupSteps)
  return learningRate * (1 + Math.cos(Math.PI * Math.min(1, progress))) / 2
}

/** Adafactor's own rate (Shazeer & Stern 2018, section 8) of update 1, 2, ...; multiplied by the tensor's scale. */
export function relativeStepRate (update: number): number {
  return Math.min(1e-2, 1 / Math.sqrt(update))
}
