/** Share of equal pairs, 0..1. @throws Error for lists of different lengths or none */
export function accuracy<T> (predicted: readonly T[], expected: readonly T[]): number {
  if (predicted.length !== expected.length || expected.length === 0) {
    throw new Error(`internal: ${predicted.length} predictions for ${expected.length} answers`)
  }
  return predicted.filter((answer, i) => answer === expected[i]).length / expected.length
}
