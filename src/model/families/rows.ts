import type { GraphBuilder } from '../../graph/builder.js'
import type { Value } from '../../graph/ir.js'

/** A matrix product whose columns may be read as parts; the Split appears when a part is first asked for. */
interface Product { readonly value: Value, readonly widths: readonly number[], parts: readonly Value[] | null }

/**
 * Rows [M, width] in a forward-only graph. They may be some columns of a wider product, and a factor per row may still
 * be due: int8 kernels leave the row's scale to whoever can apply it cheaper.
 */
export interface Rows {
  readonly product: Product
  readonly part: number
  /** float32 [M, 1] */
  readonly scale: Value | null
}

export const rowsOf = (value: Value): Rows => ({ product: { value, widths: [value.shape[1] as number], parts: null }, part: 0, scale: null })

/** The parts of one product, side by side. */
export function partsOf (value: Value, widths: readonly number[], scale: Value | null): Rows[] {
  const product: Product = { value, widths, parts: null }
  return widths.map((_, part) => ({ product, part, scale }))
}

/** The numbers without their row scale. */
export function unscaled (b: GraphBuilder, { product, part }: Rows): Value {
  if (product.widths.length === 1) return product.value
  product.parts ??= b.node('Split', [product.value, b.integers(...product.widths)], { axis: 1 })
  return product.parts[part]!
}

export function settled (b: GraphBuilder, rows: Rows): Value {
  const value = unscaled(b, rows)
  return rows.scale === null ? value : b.mul(value, rows.scale)
}

/** The whole product when `rows` are all its parts in order; null otherwise. */
export function joined (b: GraphBuilder, rows: readonly Rows[]): Value | null {
  const { product, scale } = rows[0]!
  const all = rows.length === product.widths.length && rows.every((row, i) => row.product === product && row.part === i && row.scale === scale)
  if (!all || rows.length === 1) return null
  return scale === null ? product.value : b.mul(product.value, scale)
}
