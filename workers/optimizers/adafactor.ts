import { type Optimizer, restoreMoment, type OptimizerState } from './optimizer.js'

export interface AdafactorOptions {
  readonly weightDecay: number
  /** Row and column means instead of one second moment for each number. Lester et al. (2021) do not factor the prompt. */
  readonly factored: boolean
  /** The rate is multiplied by max(epsilonScale, rms of the tensor). */
  readonly scaleByParameter?: boolean
  /** Second moments decay by 1 - t^-decayExponent. */
  readonly decayExponent?: number
  /** An update with a larger root mean square is scaled down to it. */
  readonly clipThreshold?: number
  readonly epsilonGradient?: number
  readonly epsilonScale?: number
}

/**
 * Adafactor (Shazeer & Stern 2018, algorithm 4 and 5) without a first moment, as `transformers.optimization.Adafactor`
 * has it for a matrix [rows, columns]: weight decay at the same, possibly scaled, rate.
 */
export function adafactor (rows: number, columns: number, options: AdafactorOptions, saved: OptimizerState | null = null): Optimizer {
  const { weightDecay, factored, scaleByParameter = false, decayExponent = 0.8, clipThreshold = 1, epsilonGradient = 1e-30, epsilonScale = 1e-3 } = options
  const length = rows * columns
  const moments: Record<string, Float32Array> = factored
    ? { row: restoreMoment(saved, 'row', rows), column: restoreMoment(saved, 'column', columns) }
    : { second: restoreMoment(saved, 'second', length) }
  const direction = new Float32Array(length)
  let updates = saved?.updates ?? 0
  return {
    get state () { return { updates, moments } },
    update (values, gradient, learningRate) {
      updates++
      const decay = 1 - updates ** -decayExponent
      if (factored) factoredDirection(moments['row']!, moments['column']!, direction, gradient, decay, epsilonGradient)
      else fullDirection(moments['second']!, direction, gradient, decay, epsilonGradient)
      const rate = learningRate * (scaleByParameter ? Math.max(epsilonScale, rootMeanSquare(values)) : 1)
      const step = rate / Math.max(1, rootMeanSquare(direction) / clipThreshold)
      for (let i = 0; i < length; i++) values[i] = values[i]! * (1 - weightDecay * rate) - step * direction[i]!
    }
  }
}

function fullDirection (second: Float32Array, direction: Float32Array, gradient: Float32Array, decay: number, epsilon: number): void {
  for (let i = 0; i < direction.length; i++) {
    second[i] = decay * second[i]! + (1 - decay) * (gradient[i]! ** 2 + epsilon)
    direction[i] = gradient[i]! / Math.sqrt(second[i]!)
  }
}

/** V ~ row column / mean(row): the rank-one approximation with the least generalised Kullback-Leibler divergence. */
function factoredDirection (row: Float32Array, column: Float32Array, direction: Float32Array, gradient: Float32Array, decay: number, epsilon: number): void {
  const rowSums = new Float64Array(row.length)
  const columnSums = new Float64Array(column.length)
  for (let i = 0; i < row.length; i++) {
    for (let j = 0; j < column.length; j++) {
      const square = gradient[i * column.length + j]! ** 2 + epsilon
      rowSums[i]! += square
      columnSums[j]! += square
    }
  }
  for (let i = 0; i < row.length; i++) row[i] = decay * row[i]! + (1 - decay) * rowSums[i]! / column.length
  for (let j = 0; j < column.length; j++) column[j] = decay * column[j]! + (1 - decay) * columnSums[j]! / row.length
  const rowMean = row.reduce((sum, mean) => sum + mean, 0) / row.length
  for (let i = 0; i < row.length; i++) {
    const rowFactor = Math.sqrt(rowMean / row[i]!)
    for (let j = 0; j < column.length; j++) {
      direction[i * column.length + j] = gradient[i * column.length + j]! * rowFactor / Math.sqrt(column[j]!)
    }
  }
}

function rootMeanSquare (values: Float32Array): number {
  let sum = 0
  for (const value of values) sum += value * value
  return Math.sqrt(sum / values.length)
}
