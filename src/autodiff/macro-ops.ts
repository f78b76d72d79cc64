/**
 * The differentiable operators: coarse ones, each with a gradient that recomputes or keeps exactly what pays off.
 * Weights of the frozen base are attributes: no gradient ever reaches them.
 *
 * T rows of a packed stream (all tokens of all examples, without padding), N rows that predict a label, V vocabulary,
 * C labels, H heads, KH key/value heads, D head size.
 */
import type { GraphBuilder } from '../graph/builder.js'
import type { Value } from '../graph/ir.js'

interface Macro<Inputs extends readonly Value[], Attrs, Outputs extends readonly Value[], Saved = null> {
  inputs: Inputs
  attrs: Readonly<Attrs>
  outputs: Outputs
  /** What the gradient wants from the forward pass besides inputs and outputs. */
  saved: Saved
}

type Rows<Attrs, Saved = null> = Macro<readonly [x: Value], Attrs, readonly [y: Value], Saved>

export interface MacroOps {
  /** y = x Wᵀ, W [out, in]. */
  linear: Rows<{ weight: Value }>
  /** x / rms(x) · gain (Zhang & Sennrich 2019, equation 4). */
  rmsNorm: Rows<{ gain: Value, epsilon: number }, { inverseRms: Value }>
  /** The residual sum and its norm: [x + delta, rmsNorm(x + delta)]. */
  addNorm: Macro<readonly [x: Value, delta: Value], { gain: Value, epsilon: number }, readonly [sum: Value, normed: Value], { inverseRms: Value }>
  /** silu(gate) · up (Shazeer 2020, GLU Variants, equation 6). */
  swiglu: Macro<readonly [gate: Value, up: Value], unknown, readonly [y: Value]>
  /** Rotates each head of x [T, heads·D] by the angle of its position (Su 2021, RoFormer, section 3.2; halves are paired, as Hugging Face does). */
  rope: Rows<RopeAttrs>
  /** q [T, H·D]; k, v [P+E, KH·D] -> [T, H·D]; H / KH queries share a key (Ainslie 2023, GQA, section 2). */
  attention: Macro<readonly [q: Value, k: Value, v: Value], AttentionAttrs, readonly [y: Value], { groups: readonly SavedGroup[] }>
  /** Rows of `first` (their number is known), then rows of `second`; `rows` names their sum. */
  concatRows: Macro<readonly [first: Value, second: Value], { rows: string }, readonly [y: Value]>
  /** Equal parts of the columns. */
  splitColumns: Macro<readonly [x: Value], { parts: number }, readonly Value[]>
  /** x[rows]; a row may be taken more than once. */
  gatherRows: Rows<{ rows: Value }>
  /** Sum over n of weight[n] · -log softmax(hidden[n] · tableᵀ)[labels[n]]; the logits of `chunk` rows exist at a time. */
  tokenLoss: Macro<readonly [hidden: Value], { table: Value, labels: Value, weight: Value, chunk: number }, readonly [loss: Value], { dHidden: Value | null }>
  /** The same over the rows of a trained matrix [C, width]; also gives the logits [N, C]. */
  labelLoss: Macro<readonly [hidden: Value, labelMatrix: Value], { labels: Value, weight: Value }, readonly [loss: Value, logits: Value], { logProbabilities: Value }>
}

export interface RopeAttrs {
  /** int64 [T, 1] */
  readonly positions: Value
  /** float32 [positions, D/2] */
  readonly cos: Value
  readonly sin: Value
  readonly negativeSin: Value
  readonly heads: number
}

/**
 * Attention over a packed stream: index tensors pick the rows of each query and key, so that un-padding, splitting heads,
 * transposing and sharing the first rows among all examples are one Gather each.
 */
export interface AttentionAttrs {
  /** In the order in which `inverse` counts their output rows. */
  readonly groups: ReadonlyArray<{
    /** int [B, KH, G·S] rows of q as [T·H, D]; the G query heads of one key/value head lie together. */
    readonly queries: Value
    /** int [B, KH, L] rows of k and v as [rows·KH, D] */
    readonly keys: Value
    /** float32 [G·S, L], added to the scores. */
    readonly mask: Value
  }>
  /** int [T·H]: which output row of the groups belongs to each head of each row. */
  readonly inverse: Value
  /** int [E·KH]: which key row of the last group belongs to each head of each row behind the shared ones. */
  readonly inverseKeys: Value
  /** Leading rows of k and v that every example sees. */
  readonly sharedRows: number
  readonly headSize: number
}

export interface SavedGroup { readonly queries: Value, readonly keys: Value, readonly values: Value, readonly probabilities: Value }

export interface Recorded<O extends keyof MacroOps> {
  readonly inputs: MacroOps[O]['inputs']
  readonly attrs: MacroOps[O]['attrs']
  readonly outputs: MacroOps[O]['outputs']
  readonly saved: MacroOps[O]['saved']
}

export interface Rule<O extends keyof MacroOps> {
  /** `differentiate`: whether a gradient will be asked for. */
  forward (b: GraphBuilder, inputs: MacroOps[O]['inputs'], attrs: MacroOps[O]['attrs'], differentiate: boolean): Pick<Recorded<O>, 'outputs' | 'saved'>
  /** Gradients of the inputs, in their order; of `gradients` (one per output) at least one is there, and only inputs that are `wanted` need one. */
  gradient (b: GraphBuilder, node: Recorded<O>, gradients: ReadonlyArray<Value | undefined>, wanted: readonly boolean[]): ReadonlyArray<Value | null>
}
