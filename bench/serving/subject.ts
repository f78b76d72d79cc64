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
  /** Which they were. */
  readonly ids: ReadonlyArray<readonly number[]>
  /** Absent: the rows were answered together. */
  readonly oneAfterAnother?: boolean
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

/** Tokens per second from the requests to the last token of the last row: inputs are taken in meanwhile. */
export function wholeRate ({ begunAt, tokens }: Run): number {
  return 1000 * tokens.flat().length / (Math.max(...tokens.flat()) - begunAt)
}

/**
 * Tokens per second while every row decodes: from the first token of the last row to the last token of the first that
 * ends. Each row's own rate, summed, so that the edges cut no step in two. Of rows that are answered one after another:
 * while any decodes, so that taking in the inputs of the others does not count there either.
 * @throws Error when rows overlap for less than two tokens
 */
export function decodeRate ({ tokens, oneAfterAnother = false }: Run): number {
  if (oneAfterAnother) {
    const decoding = tokens.reduce((sum, times) => sum + times.at(-1)! - times[0]!, 0)
    return 1000 * tokens.reduce((sum, times) => sum + times.length - 1, 0) / decoding
  }
  const from = Math.max(...tokens.map(times => times[0]!))
  const to = Math.min(...tokens.map(times => times.at(-1)!))
  return tokens.reduce((rate, times) => {
    const inside = times.filter(time => time >= from && time <= to)
    if (inside.length < 2) throw new Error('the rows did not decode at the same time')
    return rate + 1000 * (inside.length - 1) / (inside.at(-1)! - inside[0]!)
  }, 0)
}
