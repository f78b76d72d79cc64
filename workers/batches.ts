/**
 * Which rows an optimizer step sees: a pure function of seed and step, so a resumed run needs no saved order.
 */
import { type Example, predictions } from './example.js'
import { createRandom, shuffled } from './random.js'

/**
 * Rows that one backward pass takes. `totalPredictions` is that of the WHOLE batch and each prediction weighs one part of
 * it, so the parts' losses and gradients add up to the batch's mean.
 */
export interface MicroBatch { readonly examples: readonly Example[], readonly totalPredictions: number }

/** Batches that are sorted by length together: large enough for rows of one batch to be alike, small enough to stay random. */
const BATCHES_IN_BUCKET = 16
const ORDER_STREAM = 2

/**
 * Batches of one epoch, row indices: shuffled, cut into buckets, each bucket sorted by length and cut into batches of
 * `batchSize` (the last of the epoch may be smaller), batches shuffled. Every row occurs once.
 */
export function epochBatches (lengths: readonly number[], batchSize: number, seed: number, epoch: number): number[][] {
  const random = createRandom(seed, ORDER_STREAM, epoch)
  const order = shuffled([...lengths.keys()], random)
  const batches: number[][] = []
  const bucketSize = batchSize * BATCHES_IN_BUCKET
  for (let start = 0; start < order.length; start += bucketSize) {
    const bucket = order.slice(start, start + bucketSize).sort((a, b) => lengths[a]! - lengths[b]!)
    for (let first = 0; first < bucket.length; first += batchSize) batches.push(bucket.slice(first, first + batchSize))
  }
  return shuffled(batches, random)
}

/** Answers the batch of step 0, 1, ...; keeps the epoch that was asked last. */
export function batchOrder (lengths: readonly number[], batchSize: number, seed: number): (step: number) => readonly number[] {
  const batchesInEpoch = Math.ceil(lengths.length / batchSize)
  let kept: { epoch: number, batches: number[][] } | null = null
  return step => {
    const epoch = Math.floor(step / batchesInEpoch)
    if (kept?.epoch !== epoch) kept = { epoch, batches: epochBatches(lengths, batchSize, seed, epoch) }
    return kept.batches[step % batchesInEpoch]!
  }
}

/** Cut a batch, shortest rows first, so that each part has at most `maxTokens` tokens; a longer row is a part of its own. */
export function microBatches (batch: readonly Example[], maxTokens: number): MicroBatch[] {
  const totalPredictions = batch.reduce((sum, example) => sum + predictions(example), 0)
  const parts: Example[][] = []
  let tokens = Infinity
  for (const example of [...batch].sort((a, b) => a.ids.length - b.ids.length)) {
    if (tokens + example.ids.length > maxTokens) {
      parts.push([])
      tokens = 0
    }
    parts.at(-1)!.push(example)
    tokens += example.ids.length
  }
  return parts.map(examples => ({ examples, totalPredictions }))
}
