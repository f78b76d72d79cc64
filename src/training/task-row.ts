/** What a task sees of a data row: one set of rules for the check of an upload and for the training on it. */
import { ServiceError } from '../errors.js'
import type { TaskSpec } from '../prompt/task-spec.js'
import { renderTemplate } from '../prompt/template.js'
import { type DataRow, labelOf, targetOf } from './data-row.js'

export interface TaskRow {
  /** The rendered template. */
  readonly text: string
  /** The name of one of the task's labels, or the target text of a generation task; never empty. */
  readonly answer: string
}

/**
 * @param file field of the request that named the file, for messages
 * @returns reader of single rows; it throws ServiceError `bad_line` or `unknown_label` with line and field
 */
export function taskRowReader ({ template, verbalizer }: TaskSpec, file: string): (row: DataRow, line: number) => TaskRow {
  const labels = verbalizer === null ? null : new Set(verbalizer.labels.map(label => label.name))
  return (row, line) => {
    const where = `line ${line} of ${file}`
    const text = rendered(template, row, line, where)
    const answer = labels === null ? targetOf(row) : labelOf(row, labels)
    if (labels !== null && answer === null) throw new ServiceError('unknown_label', `${where}: its label is none of the task's ${labels.size} labels`, { param: 'label', line })
    if (answer === null || answer === '') throw new ServiceError('bad_line', `${where}: a generation task needs target or references`, { param: 'target', line })
    return { text, answer }
  }
}

function rendered (template: string, row: DataRow, line: number, where: string): string {
  try {
    return renderTemplate(template, row.input)
  } catch (error) {
    if (!(error instanceof ServiceError)) throw error
    throw new ServiceError('bad_line', `${where}: ${error.message}`, { param: error.param ?? 'input', line })
  }
}

/** @throws ServiceError `one_label` when all rows of a classification task have the same label */
export function requireTwoLabels (seen: ReadonlySet<string>, file: string): void {
  if (seen.size !== 1) return
  throw new ServiceError('one_label', `every row of ${file} has the label ${JSON.stringify([...seen][0])}; at least two are needed`, { param: file })
}
