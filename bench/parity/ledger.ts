/** What was compared, how far apart it was, and what was not compared and why. Nothing leaves the ledger silently. */

export type Outcome = 'passed' | 'failed' | 'not yet built' | 'not applicable'

export interface Row {
  readonly subject: string
  readonly check: string
  cases: number
  /** Of the case nearest to or furthest beyond its tolerance; of an exact check, how many cases differ. */
  difference: number
  /** Null: exact. */
  tolerance: number | null
  outcome: Outcome
  /** Which cases failed, or why there was nothing to compare. */
  note: string
}

const NAMED_FAILURES = 3

/** How much of its tolerance a difference uses. */
function share (difference: number, tolerance: number): number {
  return difference === 0 ? 0 : Number.isNaN(difference) ? Infinity : difference / tolerance
}

export class Ledger {
  readonly #rows = new Map<string, Row>()

  subject (name: string): Checks {
    return new Checks(name, (check, outcome, tolerance) => {
      const key = JSON.stringify([name, check])
      const known = this.#rows.get(key)
      if (known !== undefined) return known
      const row: Row = { subject: name, check, cases: 0, difference: 0, tolerance, outcome, note: '' }
      this.#rows.set(key, row)
      return row
    })
  }

  get rows (): readonly Row[] { return [...this.#rows.values()] }
}

/** The checks of one subject: a model, an adapter, a file of references. */
export class Checks {
  readonly subject: string
  readonly #row: (check: string, outcome: Outcome, tolerance: number | null) => Row
  #entries = 0

  constructor (subject: string, row: (check: string, outcome: Outcome, tolerance: number | null) => Row) {
    this.subject = subject
    this.#row = row
  }

  /** One case of a check that allows a difference. A NaN never passes. */
  within (check: string, where: string, difference: number, tolerance: number): void {
    const row = this.#count(check, 'passed', tolerance)
    if (row.cases === 1 || share(difference, tolerance) > share(row.difference, row.tolerance!)) {
      row.difference = difference
      row.tolerance = tolerance
    }
    if (!(difference <= tolerance)) this.#failed(row, `${where} differs by ${difference}`)
  }

  /** One case of a check that allows none. */
  equal (check: string, where: string, holds: boolean): void {
    const row = this.#count(check, 'passed', null)
    if (holds) return
    row.difference++
    this.#failed(row, where)
  }

  fail (check: string, why: string): void {
    this.#failed(this.#count(check, 'failed', null), why)
  }

  /** The product is meant to have it one day. */
  notBuilt (what: string, cases: number, why: string): void {
    this.#without(what, 'not yet built', cases, why)
  }

  /** The product never does it, or another check says it. */
  notApplicable (what: string, cases: number, why: string): void {
    this.#without(what, 'not applicable', cases, why)
  }

  /** An error fails the check; so does a comparison that compared nothing. */
  async attempt (check: string, compare: () => Promise<void> | void): Promise<void> {
    const before = this.#entries
    try {
      await compare()
    } catch (error) {
      this.fail(check, error instanceof Error ? error.message : String(error))
    }
    if (this.#entries === before) this.fail(check, 'nothing was compared')
  }

  #count (check: string, outcome: Outcome, tolerance: number | null): Row {
    const row = this.#row(check, outcome, tolerance)
    row.cases++
    this.#entries++
    return row
  }

  #without (check: string, outcome: Outcome, cases: number, why: string): void {
    const row = this.#row(check, outcome, null)
    row.cases += cases
    row.note = why
    this.#entries++
  }

  #failed (row: Row, what: string): void {
    row.outcome = 'failed'
    const named = row.note === '' ? [] : row.note.split('; ')
    if (named.length < NAMED_FAILURES) row.note = [...named, what.replaceAll('\n', ' ').replaceAll(';', ',').slice(0, 300)].join('; ')
    else if (named.length === NAMED_FAILURES) row.note += '; and more'
  }
}
