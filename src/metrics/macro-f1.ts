import type { ConfusionMatrix } from './confusion-matrix.js'

/**
 * Unweighted mean of the labels' F1 = 2 tp / (2 tp + fp + fn), 0..1, as scikit-learn's `f1_score(average='macro')`:
 * labels that occur neither as answer nor as prediction are left out, other undefined F1 count as 0.
 */
export function macroF1<T> ({ labels, counts, unknown }: ConfusionMatrix<T>): number {
  const scores: number[] = []
  labels.forEach((_, k) => {
    const expected = counts[k]!.reduce((sum, count) => sum + count, 0) + unknown[k]!
    const predicted = counts.reduce((sum, row) => sum + row[k]!, 0)
    if (expected + predicted > 0) scores.push(2 * counts[k]![k]! / (expected + predicted))
  })
  return scores.length === 0 ? 0 : scores.reduce((sum, f1) => sum + f1, 0) / scores.length
}
