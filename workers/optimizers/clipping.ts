/** L2 norm over all entries of all tensors together. */
export function globalNorm (tensors: readonly Float32Array[]): number {
  let sum = 0
  for (const tensor of tensors) for (const value of tensor) sum += value * value
  return Math.sqrt(sum)
}

/** What `torch.nn.utils.clip_grad_norm_` multiplies gradients with. */
export function clipFactor (norm: number, maxNorm: number): number {
  return Math.min(1, maxNorm / (norm + 1e-6))
}

/** Multiplies in place. */
export function scaleAll (tensors: readonly Float32Array[], factor: number): void {
  if (factor === 1) return
  for (const tensor of tensors) for (let i = 0; i < tensor.length; i++) tensor[i]! *= factor
}
