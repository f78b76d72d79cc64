/**
 * The batch plan: every irregularity of a batch (padding, packing, sharing the virtual tokens, where labels stand) becomes
 * index tensors computed here, so that the training graph has no shape arithmetic and no padding in any matrix product.
 *
 * Rows of the stream: [P prompt rows, once for the whole batch; prompt tuning only] + [all tokens of all examples]
 * + [one null row when lengths differ]. Padding slots read the null row, whose gradient is exactly zero.
 *
 * B examples, S longest length, P virtual tokens, L = P + S, E token rows with the null row, T rows of the stream,
 * H heads, KH key/value heads, G = H / KH, N label rows.
 */
import type { LlamaConfig } from './llama-config.js'

/** `prompt-tuning`: virtual tokens are rows of the stream. `prefix-tuning`: they are keys and values of every layer. */
export interface PromptPlacement {
  readonly method: 'prompt-tuning' | 'prefix-tuning'
  readonly numVirtualTokens: number
}

/** `tokens`: softmax over the vocabulary at each labelled token. `labels`: softmax over label rows behind the last token. */
export type Objective = 'tokens' | 'labels'

/** Rows of vocabulary logits that exist at a time in the token loss. */
export const DEFAULT_LOSS_CHUNK = 64

/** `labels`, as long as `ids`: the id itself where that token is to be predicted, negative elsewhere. */
export interface TokenExample { readonly ids: readonly number[], readonly labels: readonly number[] }
/** `label`: row of the label matrix. */
export interface LabelExample { readonly ids: readonly number[], readonly label: number }

export type BatchPlanOptions = PromptPlacement & {
  readonly config: LlamaConfig
  /** As given to the graph. */
  readonly maxPositions?: number
  /**
   * Labels of the whole optimizer step: each label weighs 1 / totalLabels, so the losses and gradients of micro-batches
   * add up to those of the step. Defaults to the labels of this batch, which is right only when it is the whole step.
   */
  readonly totalLabels?: number
} & (
  | { readonly objective: 'tokens', readonly examples: readonly TokenExample[], readonly lossChunk?: number }
  | { readonly objective: 'labels', readonly examples: readonly LabelExample[], readonly numLabels: number }
)

export type Feed = { readonly dims: readonly number[] } & (
  | { readonly type: 'float32', readonly data: Float32Array }
  | { readonly type: 'int32', readonly data: Int32Array }
  | { readonly type: 'int64', readonly data: BigInt64Array }
)

export interface BatchPlan {
  readonly dims: {
    readonly examples: number
    readonly longest: number
    /** Rows of every matrix product. */
    readonly rows: number
    readonly labels: number
  }
  /** By input name of the training graph, `prompt` and `label_matrix` excepted. */
  readonly feeds: Readonly<Record<string, Feed>>
}

/** How many labels the token loss will count: behind a prefix the first token is never predicted. */
export function countLabels (method: PromptPlacement['method'], examples: readonly TokenExample[]): number {
  return examples.reduce((all, { labels }) => all + labels.filter((label, s) => label >= 0 && (s > 0 || method === 'prompt-tuning')).length, 0)
}

const inRange = (id: number, limit: number): boolean => Number.isInteger(id) && id >= 0 && id < limit

function checkExamples (options: BatchPlanOptions): void {
  const { config, examples, numVirtualTokens, maxPositions = config.contextLength } = options
  if (examples.length === 0) throw new RangeError('a batch without examples')
  if (!Number.isInteger(numVirtualTokens) || numVirtualTokens < 1) throw new RangeError(`${numVirtualTokens} virtual tokens; at least 1`)
  for (const [b, { ids }] of examples.entries()) {
    if (ids.length === 0) throw new RangeError(`example ${b} has no tokens`)
    const positions = numVirtualTokens + ids.length
    if (positions > maxPositions) throw new RangeError(`example ${b} takes ${positions} positions with the prompt, the graph has ${maxPositions}`)
    const wrong = ids.find(id => !inRange(id, config.vocabSize))
    if (wrong !== undefined) throw new RangeError(`example ${b} holds token ${wrong}, the vocabulary has ${config.vocabSize}`)
  }
  if (options.objective === 'tokens') {
    for (const [b, { ids, labels }] of options.examples.entries()) {
      if (labels.length !== ids.length) throw new RangeError(`example ${b} has ${labels.length} labels for ${ids.length} tokens`)
      const wrong = labels.find(label => label >= 0 && !inRange(label, config.vocabSize))
      if (wrong !== undefined) throw new RangeError(`example ${b} holds label ${wrong}, the vocabulary has ${config.vocabSize}`)
    }
  } else {
    for (const [b, { label }] of options.examples.entries()) {
      if (!inRange(label, options.numLabels)) throw new RangeError(`example ${b} has label ${label} of ${options.numLabels}`)
    }
  }
}

/** Which row of the stream predicts which label. `offsets`: stream row of each example's first token. */
function labelRows (options: BatchPlanOptions, offsets: readonly number[]): { rows: number[], labels: number[] } {
  const rows: number[] = []
  const labels: number[] = []
  if (options.objective === 'labels') {
    for (const [b, { ids, label }] of options.examples.entries()) {
      rows.push(offsets[b]! + ids.length - 1)
      labels.push(label)
    }
    return { rows, labels }
  }
  for (const [b, example] of options.examples.entries()) {
    for (const [s, label] of example.labels.entries()) {
      if (label < 0) continue
      // The first token follows the last prompt row, which all examples share. Behind a prefix nothing predicts it.
      if (s === 0 && options.method === 'prefix-tuning') continue
      rows.push(s === 0 ? options.numVirtualTokens - 1 : offsets[b]! + s - 1)
      labels.push(label)
    }
  }
  return { rows, labels }
}

/**
 * Pure. @throws RangeError for a batch without labels, ids or labels out of range, or more positions than the graph has
 */
export function batchPlan (options: BatchPlanOptions): BatchPlan {
  checkExamples(options)
  const { config, examples, method, numVirtualTokens: P, totalLabels } = options
  const { numHeads: H, numKvHeads: KH } = config
  const G = H / KH
  const lengths = examples.map(({ ids }) => ids.length)
  const B = examples.length
  const S = Math.max(...lengths)
  const L = P + S
  const tokens = lengths.reduce((all, length) => all + length, 0)
  const E = tokens + (tokens < B * S ? 1 : 0)
  const shared = method === 'prompt-tuning' ? P : 0
  const T = shared + E
  const firstRows: number[] = []
  lengths.reduce((all, length) => { firstRows.push(all); return all + length }, 0)
  const tokenRow = (b: number, s: number): number => s < lengths[b]! ? firstRows[b]! + s : E - 1

  const ids = new Int32Array(E)
  const positions = new BigInt64Array(T)
  const queries = new Int32Array(B * H * S)
  const keys = new Int32Array(B * KH * L)
  const inverse = new Int32Array(T * H)
  const inverseKeys = new Int32Array(E * KH)
  for (let p = 0; p < shared; p++) {
    positions[p] = BigInt(p)
    for (let h = 0; h < H; h++) inverse[p * H + h] = h * P + p
  }
  for (let b = 0; b < B; b++) {
    for (let s = 0; s < S; s++) {
      const row = tokenRow(b, s)
      if (s < lengths[b]!) {
        ids[row] = examples[b]!.ids[s]!
        positions[shared + row] = BigInt(P + s)
      }
      for (let kv = 0; kv < KH; kv++) {
        inverseKeys[row * KH + kv] = (b * KH + kv) * L + P + s
        for (let g = 0; g < G; g++) {
          const h = kv * G + g
          const slot = (b * H + h) * S + s
          queries[slot] = (shared + row) * H + h
          inverse[(shared + row) * H + h] = H * shared + slot
        }
      }
    }
    for (let kv = 0; kv < KH; kv++) {
      for (let l = 0; l < L; l++) keys[(b * KH + kv) * L + l] = (l < P ? l : P + tokenRow(b, l - P)) * KH + kv
    }
  }

  const found = labelRows(options, firstRows.map(row => shared + row))
  const N = found.rows.length
  if (N === 0) throw new RangeError('a batch without labels')
  const weightOfOne = 1 / (totalLabels ?? N)
  if (!(weightOfOne > 0 && weightOfOne <= 1)) throw new RangeError(`${totalLabels} labels in the step; at least 1`)
  const chunk = options.objective === 'tokens' ? options.lossChunk ?? DEFAULT_LOSS_CHUNK : 1
  const padded = Math.ceil(N / chunk) * chunk
  // Padding repeats row 0 and label 0 with weight 0.
  const rows = new BigInt64Array(padded)
  const labels = new BigInt64Array(padded)
  rows.set(found.rows.map(BigInt))
  labels.set(found.labels.map(BigInt))

  return {
    dims: { examples: B, longest: S, rows: T, labels: N },
    feeds: {
      ids: { type: 'int32', data: ids, dims: [E] },
      positions: { type: 'int64', data: positions, dims: [T, 1] },
      queries: { type: 'int32', data: queries, dims: [B, KH, G * S] },
      keys: { type: 'int32', data: keys, dims: [B, KH, L] },
      inverse: { type: 'int32', data: inverse, dims: [T * H] },
      inverse_keys: { type: 'int32', data: inverseKeys, dims: [E * KH] },
      mask: { type: 'float32', data: causalMask(G, S, P), dims: [G * S, L] },
      rows: { type: 'int64', data: rows, dims: [padded] },
      labels: { type: 'int64', data: labels, dims: [padded] },
      weight: { type: 'float32', data: new Float32Array(padded).fill(weightOfOne, 0, N), dims: [padded] }
    }
  }
}

/** [G·S, P+S]: a query sees the P shared keys and its own past. Finite, since a row of -Infinity has no softmax. */
export function causalMask (G: number, S: number, P: number): Float32Array {
  const L = P + S
  const mask = new Float32Array(G * S * L)
  for (let row = 0; row < G * S; row++) mask.fill(-1e9, row * L + P + row % S + 1, (row + 1) * L)
  return mask
}
