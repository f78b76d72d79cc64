/**
 * Scores of labels from the last hidden row. In float64 and in a fixed order: the same row gives the same bits.
 * @param hidden [hidden]
 * @param labels [labels, hidden], in the space of `hidden`
 */
export function classify (hidden: Float32Array, labels: Float32Array): { logits: number[], probabilities: number[] } {
  const width = hidden.length
  const logits = Array.from({ length: labels.length / width }, (_, label) => {
    let sum = 0
    for (let i = 0; i < width; i++) sum += hidden[i]! * labels[label * width + i]!
    return sum
  })
  const highest = logits.reduce((a, b) => Math.max(a, b))
  const weights = logits.map(logit => Math.exp(logit - highest))
  const total = weights.reduce((a, b) => a + b)
  return { logits, probabilities: weights.map(weight => weight / total) }
}
