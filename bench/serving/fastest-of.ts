import type { Load, Run, Subject } from './subject.js'

/** Where its packages say what they are. */
type Variant = Subject & { readonly versions: Readonly<Record<string, string>> }

export interface Choice { readonly variant: string, readonly milliseconds: Readonly<Record<string, number>> }

/**
 * Variants of a peer that answers rows one after another, so that one row says which of them suits a load best. The first
 * run of a load, which warms up, lets each answer that row; later ones are the fastest's.
 */
export class FastestOf implements Subject {
  readonly name: string
  readonly #variants: readonly Variant[]
  readonly #chosen = new Map<Load, Variant>()
  /** What was chosen for each load, and by what times. */
  readonly choices = new Map<Load, Choice>()

  constructor (name: string, variants: readonly Variant[]) {
    this.name = name
    this.#variants = variants
  }

  get versions (): Readonly<Record<string, string>> { return this.#variants[0]!.versions }

  async run (load: Load): Promise<Run> {
    const chosen = this.#chosen.get(load)
    if (chosen !== undefined) return await chosen.run(load)
    const first = { ...load, rows: load.rows.slice(0, 1) }
    const tried: Array<{ variant: Variant, run: Run, milliseconds: number }> = []
    for (const variant of this.#variants) {
      await variant.run(first)
      const run = await variant.run(first)
      tried.push({ variant, run, milliseconds: run.tokens[0]!.at(-1)! - run.begunAt })
    }
    const { variant, run } = tried.reduce((best, one) => one.milliseconds < best.milliseconds ? one : best)
    this.#chosen.set(load, variant)
    this.choices.set(load, { variant: variant.name, milliseconds: Object.fromEntries(tried.map(one => [one.variant.name, one.milliseconds])) })
    return run
  }

  async close (): Promise<void> {
    for (const variant of this.#variants) await variant.close()
  }
}
