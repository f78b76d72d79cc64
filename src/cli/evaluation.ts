/** Scores of a task's answers against the rows of a file. */
import { type DataRow, labelOf, targetOf } from '../training/data-row.js'
import { accuracy } from '../metrics/accuracy.js'
import { corpusBleu } from '../metrics/bleu.js'
import { confusionMatrix } from '../metrics/confusion-matrix.js'
import { exactMatch } from '../metrics/exact-match.js'
import { macroF1 } from '../metrics/macro-f1.js'
import { UsageError } from './verb.js'
import type { Answer } from './wire-types.js'

export interface Evaluation { readonly rows: number, readonly errors: number, readonly metrics: Readonly<Record<string, number>> }

/**
 * A row that got an error counts as answered wrongly.
 * @param labels of a classification task, null for generation
 * @throws UsageError naming the first row that has no answer to compare with
 */
export function evaluate (rows: readonly DataRow[], answers: readonly Answer[], labels: readonly string[] | null): Evaluation {
  const errors = answers.filter(answer => answer.error !== undefined).length
  const metrics = labels === null ? generationMetrics(rows, answers) : classificationMetrics(rows, answers, labels)
  return { rows: rows.length, errors, metrics }
}

function classificationMetrics (rows: readonly DataRow[], answers: readonly Answer[], labels: readonly string[]): Record<string, number> {
  const known = new Set(labels)
  const expected = rows.map((row, i) => {
    const label = labelOf(row, known)
    if (label === null) throw new UsageError(`row ${i + 1}: its label is none of the task's ${labels.length} labels`)
    return label
  })
  const predicted = answers.map(answer => answer.label ?? '')
  return { accuracy: accuracy(predicted, expected), macro_f1: macroF1(confusionMatrix(labels, predicted, expected)) }
}

function generationMetrics (rows: readonly DataRow[], answers: readonly Answer[]): Record<string, number> {
  const references = rows.map((row, i) => {
    const target = targetOf(row)
    if (row.references === undefined && target === null) throw new UsageError(`row ${i + 1} has neither target nor references`)
    return row.references ?? [target!]
  })
  const outputs = answers.map(answer => (answer.text ?? '').trim())
  return { exact_match: exactMatch(outputs, references), bleu: corpusBleu(outputs, references) }
}
