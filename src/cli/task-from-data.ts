import type { DataRow } from '../training/data-row.js'
import type { TaskKind } from '../prompt/task-spec.js'

/** Without `label` fields, targets are taken for labels when they are few, short and come back often. */
const MAX_LABELS = 200
const MAX_LABEL_LENGTH = 60
const MIN_ROWS_PER_LABEL = 5

export interface GuessedTask { readonly kind: TaskKind, readonly labels: readonly string[] | null }

/** What kind of task the rows are of, and its labels in alphabetical order; null for generation. */
export function taskFromData (rows: readonly DataRow[]): GuessedTask {
  const labels = rows.every(row => row.label !== undefined) ? labelNames(rows) : fewTargets(rows)
  return labels === null ? { kind: 'generation', labels: null } : { kind: 'classification', labels: [...labels].sort() }
}

/** Targets name the labels where each label has its own one: they are the words ("play music" for PlayMusic, 1 or "1"). */
function labelNames (rows: readonly DataRow[]): Set<string> {
  const targets = new Map<string, string>()
  let words = true
  for (const { label, target } of rows) {
    const known = targets.get(String(label))
    words &&= target !== undefined && (known === undefined || known === target)
    targets.set(String(label), target ?? '')
  }
  words &&= new Set(targets.values()).size === targets.size
  return new Set(words ? targets.values() : targets.keys())
}

function fewTargets (rows: readonly DataRow[]): Set<string> | null {
  const targets = new Set<string>()
  for (const { target, references } of rows) {
    if (target === undefined || references !== undefined || target.length > MAX_LABEL_LENGTH) return null
    targets.add(target)
    if (targets.size > MAX_LABELS) return null
  }
  return targets.size * MIN_ROWS_PER_LABEL <= rows.length ? targets : null
}
