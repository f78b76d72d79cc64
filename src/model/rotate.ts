/**
 * How one base's residual stream is rotated before quantisation (QuaRot, Ashkboos 2024, section 4):
 * Q = diag(signs) · (DCT(odd) ⊗ Hadamard(power)) / √power, hidden size = odd · power.
 * Stored with the serving graph; the signs are drawn once from `seed`.
 */
export interface RotationPlan {
  readonly odd: number
  readonly power: number
  readonly seed: number
}

/** For any hidden size: its largest power of two is a Hadamard matrix, the odd rest a discrete cosine transform. */
export function rotationPlan (hiddenSize: number, seed: number): RotationPlan {
  // The lowest set bit.
  const power = hiddenSize & -hiddenSize
  return { odd: hiddenSize / power, power, seed }
}

/** `x Q` for every row x of a row-major [n, width]; a new array. Butterflies and a small transform in double precision. */
export function rotateRows (rows: Float32Array, width: number, plan: RotationPlan): Float32Array<ArrayBuffer> {
  const { cosines, signs } = factors(width, plan)
  return eachRow(rows, width, row => {
    for (let i = 0; i < width; i++) row[i]! *= signs[i]!
    transform(row, plan, cosines, false)
  })
}

/** `x Qᵀ`: the inverse of `rotateRows`. */
export function unrotateRows (rows: Float32Array, width: number, plan: RotationPlan): Float32Array<ArrayBuffer> {
  const { cosines, signs } = factors(width, plan)
  return eachRow(rows, width, row => {
    transform(row, plan, cosines, true)
    for (let i = 0; i < width; i++) row[i]! *= signs[i]!
  })
}

interface Factors { readonly cosines: Float64Array, readonly signs: Float64Array }

// One base is served at a time; its plan is asked for with every prompt that is compiled.
let latest: { readonly key: string, readonly factors: Factors } | null = null

function factors (width: number, plan: RotationPlan): Factors {
  if (plan.odd * plan.power !== width) throw new Error(`internal: rows of ${width} for a rotation of ${plan.odd} x ${plan.power}`)
  const key = `${plan.odd} ${plan.power} ${plan.seed}`
  if (latest?.key !== key) latest = { key, factors: { cosines: cosineMatrix(plan.odd), signs: randomSigns(width, plan.seed) } }
  return latest.factors
}

function eachRow (rows: Float32Array, width: number, change: (row: Float64Array) => void): Float32Array<ArrayBuffer> {
  if (rows.length % width !== 0) throw new Error(`internal: ${rows.length} values are no rows of ${width}`)
  const out = new Float32Array(rows.length)
  const row = new Float64Array(width)
  for (let start = 0; start < rows.length; start += width) {
    row.set(rows.subarray(start, start + width))
    change(row)
    out.set(row, start)
  }
  return out
}

/** The row as [odd, power] times DCT ⊗ Hadamard / √power, in place; the Hadamard matrix is its own transpose. */
function transform (row: Float64Array, { odd, power }: RotationPlan, cosines: Float64Array, transposed: boolean): void {
  for (let start = 0; start < row.length; start += power) {
    for (let half = 1; half < power; half *= 2) {
      for (let block = start; block < start + power; block += 2 * half) {
        for (let i = block; i < block + half; i++) {
          const a = row[i]!
          const b = row[i + half]!
          row[i] = a + b
          row[i + half] = a - b
        }
      }
    }
  }
  const scale = 1 / Math.sqrt(power)
  const column = new Float64Array(odd)
  for (let j = 0; j < power; j++) {
    for (let i = 0; i < odd; i++) column[i] = row[i * power + j]! * scale
    for (let k = 0; k < odd; k++) {
      let sum = 0
      for (let i = 0; i < odd; i++) sum += column[i]! * cosines[transposed ? k * odd + i : i * odd + k]!
      row[k * power + j] = sum
    }
  }
}

/** Orthonormal DCT-II, [sample, frequency]. */
function cosineMatrix (size: number): Float64Array {
  const matrix = new Float64Array(size * size)
  for (let i = 0; i < size; i++) {
    for (let k = 0; k < size; k++) {
      matrix[i * size + k] = Math.sqrt((k === 0 ? 1 : 2) / size) * Math.cos(Math.PI * (2 * i + 1) * k / (2 * size))
    }
  }
  return matrix
}

/** mulberry32: the sequence belongs to the stored seed, so it must never change. */
function randomSigns (count: number, seed: number): Float64Array {
  let state = seed | 0
  return Float64Array.from({ length: count }, () => {
    state = state + 0x6d2b79f5 | 0
    let mixed = Math.imul(state ^ state >>> 15, 1 | state)
    mixed = mixed + Math.imul(mixed ^ mixed >>> 7, 61 | mixed) ^ mixed
    return (mixed ^ mixed >>> 14) < 0 ? -1 : 1
  })
}
