import { ServiceError } from '../../errors.js'
import type { TaskSpec } from '../../prompt/task-spec.js'
import { renderTemplate } from '../../prompt/template.js'
import { type DataRow, labelOf, targetOf } from './data-row.js'
import { readRows } from './read-rows.js'

/**
 * Whether a task can be trained or scored on a file: every row fills the template, and has one of the task's labels or
 * a target.
 * @throws ServiceError `bad_line`, `unknown_label` with the line, `one_label` when `training` and only one label occurs
 */
export async function checkForTask (bytes: Uint8Array, spec: TaskSpec, options: { readonly param: string, readonly training: boolean }): Promise<void> {
  const labels = spec.verbalizer === null ? null : new Set(spec.verbalizer.labels.map(label => label.name))
  const seen = new Set<string>()
  for await (const { line, row } of readRows(bytes)) {
    fillsTemplate(spec.template, row, line)
    if (labels === null) {
      if (targetOf(row) === null || targetOf(row) === '') throw new ServiceError('bad_line', `line ${line}: a generation task needs target or references`, { param: 'target', line })
      continue
    }
    const label = labelOf(row, labels)
    if (label === null) throw new ServiceError('unknown_label', `line ${line} of ${options.param}: its label is none of the task's ${labels.size} labels`, { param: 'label', line })
    seen.add(label)
  }
  if (options.training && labels !== null && seen.size === 1) {
    throw new ServiceError('one_label', `every row of ${options.param} has the label ${JSON.stringify([...seen][0])}; at least two are needed`, { param: options.param })
  }
}

function fillsTemplate (template: string, row: DataRow, line: number): void {
  try {
    renderTemplate(template, row.input)
  } catch (error) {
    if (!(error instanceof ServiceError)) throw error
    throw new ServiceError('bad_line', `line ${line}: ${error.message}`, { line, param: error.param ?? 'input' })
  }
}
