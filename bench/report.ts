/** How every benchmark speaks: a table for people, one JSON line of raw numbers for machines. */
import { cpus, totalmem } from 'node:os'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { PROJECT_ROOT, VERSION } from '../src/project.js'

export type Cell = string | number
export interface Table { readonly title: string, readonly columns: readonly string[], readonly rows: ReadonlyArray<readonly Cell[]> }

/** Where the numbers were measured; without it a number means nothing. */
export function machine (): Readonly<Record<string, string | number>> {
  return { permafrost: VERSION, node: process.version, cpu: cpus()[0]?.model ?? 'unknown', cores: cpus().length, memoryGiB: Math.round(totalmem() / 2 ** 30) }
}

/** Markdown, columns padded so that it also reads well in a terminal. */
export function renderTable ({ title, columns, rows }: Table): string {
  const cells = [columns, ...rows].map(row => row.map(String))
  const widths = columns.map((_, column) => Math.max(...cells.map(row => (row[column] ?? '').length)))
  const line = (row: readonly string[]): string => `| ${widths.map((width, column) => (row[column] ?? '').padEnd(width)).join(' | ')} |`
  return [`### ${title}`, '', line(cells[0]), `|${widths.map(width => '-'.repeat(width + 2)).join('|')}|`, ...cells.slice(1).map(line), ''].join('\n')
}

/** Writes `bench/results/<name>.json` and `.md`; prints the table, or the raw result with `--json`. */
export function report (name: string, tables: readonly Table[], raw: unknown, json: boolean): void {
  const folder = join(PROJECT_ROOT, 'bench', 'results')
  mkdirSync(folder, { recursive: true })
  const result = { name, measuredAt: new Date().toISOString(), machine: machine(), raw }
  writeFileSync(join(folder, `${name}.json`), JSON.stringify(result, null, 1) + '\n')
  const where = Object.entries(result.machine).map(([key, value]) => `${key} ${value}`).join(', ')
  const text = [...tables.map(renderTable), `Measured ${result.measuredAt}: ${where}.`, ''].join('\n')
  writeFileSync(join(folder, `${name}.md`), text)
  process.stdout.write(json ? JSON.stringify(result) + '\n' : text)
}

/** The raw result that `report` wrote last; null when there is none. */
export function readReport (name: string): unknown {
  try {
    return (JSON.parse(readFileSync(join(PROJECT_ROOT, 'bench', 'results', `${name}.json`), 'utf8')) as { raw: unknown }).raw
  } catch {
    return null
  }
}
