/**
 * How often each expected label got each prediction: `counts[expected][predicted]`, labels in the given order.
 * A prediction outside the labels counts in its row's `unknown`.
 */
export interface ConfusionMatrix<T> { readonly labels: readonly T[], readonly counts: readonly number[][], readonly unknown: readonly number[] }

/** @throws Error when an expected answer is none of the labels */
export function confusionMatrix<T> (labels: readonly T[], predicted: readonly T[], expected: readonly T[]): ConfusionMatrix<T> {
  const place = new Map(labels.map((label, i) => [label, i]))
  const counts = labels.map(() => labels.map(() => 0))
  const unknown = labels.map(() => 0)
  expected.forEach((label, i) => {
    const row = place.get(label)
    if (row === undefined) throw new Error(`internal: expected label ${String(label)} is not among the ${labels.length} labels`)
    const column = place.get(predicted[i] as T)
    if (column === undefined) unknown[row]! += 1
    else counts[row]![column]! += 1
  })
  return { labels, counts, unknown }
}
