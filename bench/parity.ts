/**
 * `npm run parity -- --family llama [--json]`: the product against the reference numbers of transformers, PEFT and torch
 * under `PERMAFROST_FIXTURES` and `PERMAFROST_SHARED`. Exit code 1 when anything differs, 2 for a wrong option.
 */
import { parseArgs } from 'node:util'
import { fixturesFolder, sharedFolder } from '../test/support/shared.js'
import type { Ledger, Row } from './parity/ledger.js'
import { FAMILIES, type Family, parity } from './parity/run.js'
import { report, type Table } from './report.js'

function options (): { family: Family, json: boolean } {
  try {
    const { values } = parseArgs({ options: { family: { type: 'string', default: 'llama' }, json: { type: 'boolean', default: false } } })
    const family = FAMILIES.find(name => name === values.family)
    if (family === undefined) throw new Error(`family ${JSON.stringify(values.family)} has no parity run; ${FAMILIES.join(', ')} ${FAMILIES.length === 1 ? 'has' : 'have'} one`)
    return { family, json: values.json }
  } catch (error) {
    process.stderr.write(`${(error as Error).message}\n`)
    process.exit(2)
  }
}

const LONGEST_NOTE = 160

function wasCompared ({ outcome }: Row): boolean {
  return outcome === 'passed' || outcome === 'failed'
}

function cells ({ subject, check, cases, difference, tolerance, outcome, note }: Row): Array<string | number> {
  const worst = tolerance === null ? `${difference} differ` : difference.toExponential(1)
  const allowed = tolerance === null ? 'exact' : tolerance.toExponential(1)
  return [subject, check, cases, worst, allowed, outcome === 'failed' ? 'FAILED' : 'passed', note.slice(0, LONGEST_NOTE).replaceAll('|', '\\|')]
}

function counted (rows: readonly Row[], outcome: Row['outcome']): Row[] {
  return rows.filter(row => row.outcome === outcome)
}

/** What is missing, each kind once, with its number of cases. */
function named (rows: readonly Row[]): string {
  const cases = new Map<string, number>()
  for (const row of rows) cases.set(row.check, (cases.get(row.check) ?? 0) + row.cases)
  return [...cases].map(([check, count]) => `${check} (${count})`).join(', ')
}

function summary ({ rows }: Ledger): string {
  const [passed, failed, missing, other] = (['passed', 'failed', 'not yet built', 'not applicable'] as const).map(outcome => counted(rows, outcome))
  const cases = [...passed!, ...failed!].reduce((sum, row) => sum + row.cases, 0)
  return [
    `${passed!.length} checks passed, ${failed!.length} failed, ${cases} cases compared; ${missing!.reduce((sum, row) => sum + row.cases, 0)} cases not yet built${missing!.length === 0 ? '' : `: ${named(missing!)}`}`,
    ...other!.length === 0 ? [] : [`Not applicable: ${named(other!)}`],
    ...failed!.map(row => `FAILED ${row.subject}, ${row.check}: ${row.note}`)
  ].join('\n')
}

const { family, json } = options()
const fixtures = fixturesFolder()
if (fixtures === null) {
  process.stderr.write('the reference numbers are not there: PERMAFROST_FIXTURES names their folder\n')
  process.exit(2)
}
const startedAt = performance.now()
const ledger = await parity(family, { fixtures, models: sharedFolder('models') }, subject => process.stderr.write(`${subject}\n`))
const seconds = (performance.now() - startedAt) / 1000
const words = `${summary(ledger)}\n`
const compared: Table = {
  title: `Parity of the family ${family}, ${seconds.toFixed(0)} s`,
  columns: ['subject', 'check', 'cases', 'worst', 'allowed', 'outcome', 'note'],
  rows: ledger.rows.filter(row => wasCompared(row)).map(cells)
}
const absent: Table = {
  title: 'Not compared',
  columns: ['subject', 'what', 'cases', 'because', 'reason'],
  rows: ledger.rows.filter(row => !wasCompared(row)).map(({ subject, check, cases, outcome, note }) => [subject, check, cases, outcome, note])
}
report(`parity-${family}`, [compared, absent], { family, seconds, rows: ledger.rows }, json)
;(json ? process.stderr : process.stdout).write(words)
process.exitCode = counted(ledger.rows, 'failed').length === 0 ? 0 : 1
