/**
 * Dimensions of symbolic shapes. A dimension is a number or a product of symbols and one factor, written canonically:
 * `T`, `4*T`, `2*B*S`. Products and quotients stay exact, so that a Reshape can be checked before any size is known;
 * sums of symbols have no form here and are named by whoever builds them.
 */
export type Dim = number | string

interface Monomial { readonly factor: number, readonly symbols: readonly string[] }

function parse (dim: Dim): Monomial {
  if (typeof dim === 'number') return { factor: dim, symbols: [] }
  let factor = 1
  const symbols: string[] = []
  for (const part of dim.split('*')) {
    if (/^\d+$/.test(part)) factor *= Number(part)
    else symbols.push(part)
  }
  return { factor, symbols }
}

function format ({ factor, symbols }: Monomial): Dim {
  if (symbols.length === 0 || factor === 0) return factor
  const names = [...symbols].sort()
  return (factor === 1 ? names : [factor, ...names]).join('*')
}

export function product (...dims: readonly Dim[]): Dim {
  const parts = dims.map(parse)
  return format({ factor: parts.reduce((all, part) => all * part.factor, 1), symbols: parts.flatMap(part => part.symbols) })
}

/** `a / b`; null where it is no dimension. */
export function quotient (a: Dim, b: Dim): Dim | null {
  const top = parse(a)
  const bottom = parse(b)
  const symbols = [...top.symbols]
  for (const symbol of bottom.symbols) {
    const at = symbols.indexOf(symbol)
    if (at < 0) return null
    symbols.splice(at, 1)
  }
  if (bottom.factor === 0 || top.factor % bottom.factor !== 0) return null
  return format({ factor: top.factor / bottom.factor, symbols })
}

/** Numpy broadcasting; null where the shapes do not fit. */
export function broadcast (a: readonly Dim[], b: readonly Dim[]): Dim[] | null {
  const rank = Math.max(a.length, b.length)
  const dims: Dim[] = []
  for (let i = 0; i < rank; i++) {
    const x = a[a.length - rank + i] ?? 1
    const y = b[b.length - rank + i] ?? 1
    if (x !== y && x !== 1 && y !== 1) return null
    dims.push(x === 1 ? y : x)
  }
  return dims
}
