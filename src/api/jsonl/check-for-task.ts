import type { TaskSpec } from '../../prompt/task-spec.js'
import { requireTwoLabels, taskRowReader } from '../../training/task-row.js'
import { readRows } from './read-rows.js'

/**
 * Whether a task can be trained or scored on a file: every row fills the template, and has one of the task's labels or
 * a target.
 * @throws ServiceError `bad_line`, `unknown_label` with the line, `one_label` when `training` and only one label occurs
 */
export async function checkForTask (bytes: Uint8Array, spec: TaskSpec, options: { readonly param: string, readonly training: boolean }): Promise<void> {
  const read = taskRowReader(spec, options.param)
  const seen = new Set<string>()
  for await (const { line, row } of readRows(bytes)) {
    const { answer } = read(row, line)
    if (spec.verbalizer !== null) seen.add(answer)
  }
  if (options.training) requireTwoLabels(seen, options.param)
}
