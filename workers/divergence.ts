/** Notices a run that has left the region where training works, so that a job ends with a reason instead of a useless prompt. */
export interface DivergenceState {
  /** Highest loss of the first steps: random initial prompts may start high. */
  readonly reference: number
  /** Steps in a row whose loss was far above it. */
  readonly streak: number
}

export const INITIAL_DIVERGENCE: DivergenceState = { reference: 0, streak: 0 }

const REFERENCE_STEPS = 10
const FAR_ABOVE = 3
/** A difference this small, in nats, is noise even when it is a multiple. */
const NOTICEABLE = 2
const MAX_STREAK = 20

/** The state after a step, and why to stop, if so. `step` counts from 0; `loss` in nats per prediction. */
export function watchDivergence (state: DivergenceState, step: number, loss: number, gradientNorm: number): { state: DivergenceState, reason: string | null } {
  if (!Number.isFinite(loss)) return { state, reason: `the loss became ${loss} at step ${step + 1}` }
  if (!Number.isFinite(gradientNorm)) return { state, reason: `the gradient became ${gradientNorm} at step ${step + 1}` }
  if (step < REFERENCE_STEPS) return { state: { reference: Math.max(state.reference, loss), streak: 0 }, reason: null }
  const limit = Math.max(FAR_ABOVE * state.reference, state.reference + NOTICEABLE)
  const streak = loss > limit ? state.streak + 1 : 0
  const reason = streak < MAX_STREAK ? null : `the loss has been above ${limit.toFixed(2)} for ${MAX_STREAK} steps, it began at ${state.reference.toFixed(2)}`
  return { state: { ...state, streak }, reason }
}
