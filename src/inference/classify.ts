/** Scores of labels from the last hidden row, and their probabilities. In float64 and in a fixed order: the same row gives the same bits. */

/**
 * @param hidden [hidden]
 * @param labels [labels, hidden], in the space of `hidden`
 */
export function labelScores (hidden: Float32Array, labels: Float32Array): number[] {
  const width = hidden.length
  return Array.from({ length: labels.length / width }, (_, label) => {
    let sum = 0
    for (let i = 0; i < width; i++) sum += hidden[i]! * labels[label * width + i]!
    return sum
  })
}

export function softmax (scores: readonly number[]): number[] {
  const highest = scores.reduce((a, b) => Math.max(a, b))
  const weights = scores.map(score => Math.exp(score - highest))
  const total = weights.reduce((a, b) => a + b)
  return weights.map(weight => weight / total)
}
