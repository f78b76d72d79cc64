/** Real text for benchmarks that measure the base itself: rows of several data sets, in turn. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'

interface Row { readonly input: unknown, readonly target?: unknown }

export function readRows (file: string): Row[] {
  return readFileSync(file, 'utf8').split('\n').filter(line => line !== '').map(line => JSON.parse(line) as Row)
}

/** A table-to-text row is text in input and target; elsewhere the input alone is prose. */
function textOf ({ input, target }: Row, withTarget: boolean): string {
  const fields = typeof input === 'string' ? [input] : Object.values(input as Record<string, string>)
  return [...fields, ...withTarget && typeof target === 'string' ? [target] : []].join('\n')
}

const SETS: ReadonlyArray<readonly [set: string, withTarget: boolean]> = [['ag_news', false], ['boolq', false], ['scitldr', true], ['sst2', false], ['e2e', true], ['dialogsum', false]]

/** The first `rows` test rows of each set under `data`. */
export function realTexts (data: string, rows: number): string[] {
  return SETS.flatMap(([set, withTarget]) => readRows(join(data, set, 'test.jsonl')).slice(0, rows).map(row => textOf(row, withTarget)))
}
