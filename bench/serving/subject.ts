/** Something that answers several requests at once, and what its clock says of them. */

export interface Row {
  /** Which prompt stands in front, by number. */
  readonly prompt: number
  /** Ids of text that stand for the prompt where there are no prompts; as many as it has virtual tokens. */
  readonly context: readonly number[]
  readonly input: readonly number[]
}

export interface Load {
  readonly rows: readonly Row[]
  /** Each row generates as many, whatever they are. */
  readonly maxTokens: number
}

/** Milliseconds by one clock. */
export interface Run {
  readonly begunAt: number
  /** When each token of each row came. */
  readonly tokens: ReadonlyArray<readonly number[]>
}

export interface Subject {
  readonly name: string
  /** All rows at once, prompts warm. @throws Error when a row got fewer tokens */
  run (load: Load): Promise<Run>
  close (): Promise<void>
}

/** Milliseconds to the first token. */
export function firstTokenMs ({ begunAt, tokens }: Run): number {
  return Math.min(...tokens.map(times => times[0]!)) - begunAt
}

/**
 * Tokens per second while every row decodes: from the first token of the last row to the last token of the first that
 * ends. Each row's own rate, summed, so that the edges cut no step in two.
 * @throws Error when rows overlap for less than two tokens
 */
export function decodeRate ({ tokens }: Run): number {
  const from = Math.max(...tokens.map(times => times[0]!))
  const to = Math.min(...tokens.map(times => times.at(-1)!))
  return tokens.reduce((rate, times) => {
    const inside = times.filter(time => time >= from && time <= to)
    if (inside.length < 2) throw new Error('the rows did not decode at the same time')
    return rate + 1000 * (inside.length - 1) / (inside.at(-1)! - inside[0]!)
  }, 0)
}
