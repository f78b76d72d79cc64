export interface Verb {
  /** Lines that begin with `permafrost` make the overview; the others explain. */
  readonly usage: string
  /** Errors that are thrown are written for the user; set where the supervisor speaks. */
  readonly speaksPlainly?: boolean
  /** Answers the exit code, 0 when nothing. */
  run (args: readonly string[]): Promise<number | undefined>
}

/** The command line itself is wrong: exit code 2 and the verb's usage. */
export class UsageError extends Error { override readonly name = 'UsageError' }

/** @throws UsageError when there are more or fewer positional arguments than names */
export function positionals (given: readonly string[], ...names: readonly string[]): string[] {
  if (given.length < names.length) throw new UsageError(`${names[given.length] ?? ''} is missing`)
  if (given.length > names.length) throw new UsageError(`"${given[names.length] ?? ''}" is one argument too many`)
  return [...given]
}

/** @throws UsageError when the text is no number */
export function numberOption (name: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined
  const value = Number(text)
  if (text.trim() === '' || !Number.isFinite(value)) throw new UsageError(`--${name} takes a number, not "${text}"`)
  return value
}

/** Only the options that were given, so that absent ones are not sent. */
export function given<T extends object> (options: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) as { [K in keyof T]?: Exclude<T[K], undefined> }
}
