/** What a checkpoint keeps of an optimizer: updates made and its moments, float32. */
export interface OptimizerState { readonly updates: number, readonly moments: Readonly<Record<string, Float32Array>> }

/** Updates one tensor in place. Arithmetic is float64, the state float32, so a saved and restored state goes on bit for bit. */
export interface Optimizer {
  update (values: Float32Array, gradient: Float32Array, learningRate: number): void
  /** The live arrays, not copies. */
  readonly state: OptimizerState
}

/** The moment `name` of a saved state, copied. @throws Error when it is absent or of another length */
export function restoreMoment (saved: OptimizerState | null, name: string, length: number): Float32Array {
  if (saved === null) return new Float32Array(length)
  const moment = saved.moments[name]
  if (moment?.length !== length) throw new Error(`internal: optimizer state ${name} has ${moment?.length ?? 0} numbers, ${length} are needed`)
  return moment.slice()
}
