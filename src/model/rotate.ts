/**
 * How one base's residual stream is rotated before quantisation (QuaRot, Ashkboos 2024, section 4):
 * Q = diag(signs) · (DCT(odd) ⊗ Hadamard(power)) / √power, hidden size = odd · power.
 * Stored with the serving graph; the signs are drawn once from `seed`.
 */
export interface RotationPlan {
  readonly odd: number
  readonly power: number
  readonly seed: number
}
