/** One tokenized row. */
export interface Example {
  /** What the model reads, the target included. At least one token in front of the target. */
  readonly ids: readonly number[]
  /** Where in `ids` the target starts: each token from there on is predicted. `ids.length` for classification. */
  readonly targetStart: number
  /** The tokens that render the input, from first to behind the last: those that `token_dropout` may leave out. Absent: none. */
  readonly input?: readonly [from: number, to: number]
  /** Index among the task's labels; null for generation. */
  readonly label: number | null
}

/** Tokens of the longest row. Files of a million rows are more arguments than a call may have. */
export function longestOf (examples: readonly Example[]): number {
  return examples.reduce((longest, { ids }) => Math.max(longest, ids.length), 0)
}

/** Predictions that the loss averages over. */
export function predictions ({ ids, targetStart, label }: Example): number {
  return label === null ? ids.length - targetStart : 1
}
