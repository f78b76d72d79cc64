import type { TaskSpec } from './task-spec.js'

// Beyond this a prompt holds only the beginning of the list.
const MAX_NAMES_LENGTH = 4000

/** The text that a prompt starts from when a job asks for text initialisation and gives none. */
export function initialText ({ kind, verbalizer }: TaskSpec): string {
  if (kind === 'generation' || verbalizer === null) return 'Write the answer to the input.'
  return `Classify the text into one of: ${verbalizer.labels.map(label => label.name).join(', ').slice(0, MAX_NAMES_LENGTH)}.`
}

/** Ids repeated and cut to `length`, as PEFT's TEXT initialisation does. */
export function repeatTo (ids: readonly number[], length: number): number[] {
  if (ids.length === 0) throw new Error('internal: no ids to repeat')
  return Array.from({ length }, (_, i) => ids[i % ids.length]!)
}
