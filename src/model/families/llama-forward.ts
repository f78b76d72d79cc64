import type { GraphBuilder } from '../../graph/builder.js'
import type { Value } from '../../graph/ir.js'
import type { LlamaConfig } from '../llama-config.js'
import type { ForwardAttention } from './forward-attention.js'
import type { LinearGroup, LlamaOps, Projected } from './llama.js'
import { type Rows, rowsOf, settled, unscaled } from './rows.js'

/** How one number format keeps its weights. */
export interface ForwardWeights {
  embedding (): Value
  gain (name: string): Value
  project (x: Rows, group: LinearGroup, layer: number): Rows[]
  /** Hidden rows [N, hidden] -> logits [N, vocabulary]. */
  head (hidden: Value): Value
}

/** Forward-only Llama: serving, calibration and keys of a text differ in weights, attention and in which rows go on. */
export class ForwardLlama implements LlamaOps<Rows> {
  readonly #b: GraphBuilder
  readonly #config: LlamaConfig
  readonly #weights: ForwardWeights
  readonly #attention: ForwardAttention
  readonly #lastRows: (x: Value) => Value
  /** Sees the gated product of each layer, which is what the down projection reads. */
  readonly #onDownInput: (x: Value, layer: number) => void

  constructor (b: GraphBuilder, config: LlamaConfig, weights: ForwardWeights, attention: ForwardAttention, lastRows: (x: Value) => Value, onDownInput: (x: Value, layer: number) => void = () => {}) {
    this.#b = b
    this.#config = config
    this.#weights = weights
    this.#attention = attention
    this.#lastRows = lastRows
    this.#onDownInput = onDownInput
  }

  addNorm (stream: Rows, pending: Rows | null, gain: string): readonly [Rows, Rows] {
    const b = this.#b
    const epsilon = this.#config.rmsNormEps
    if (pending === null) {
      const [normed] = b.node('SimplifiedLayerNormalization', [settled(b, stream), this.#weights.gain(gain)], { axis: -1, epsilon, stash_type: 1 })
      return [stream, rowsOf(normed)]
    }
    const [normed, , , sum] = b.node('SkipSimplifiedLayerNormalization', [settled(b, stream), settled(b, pending), this.#weights.gain(gain)], { epsilon })
    return [rowsOf(sum), rowsOf(normed)]
  }

  project<G extends LinearGroup> (x: Rows, group: G, layer: number): Projected<Rows, G> {
    return this.#weights.project(x, group, layer) as unknown as Projected<Rows, G>
  }

  attention (q: Rows, k: Rows, v: Rows, layer: number): Rows { return rowsOf(this.#attention(q, k, v, layer)) }

  swiglu (gate: Rows, up: Rows, layer: number): Rows {
    const b = this.#b
    const silu = b.op('QuickGelu', [settled(b, gate)], { alpha: 1 })
    // The scale of `up` passes through the product: the down projection takes it into its own.
    const rows = { ...rowsOf(b.mul(silu, unscaled(b, up))), scale: up.scale }
    this.#onDownInput(rows.product.value, layer)
    return rows
  }

  lastRows (x: Rows): Rows { return rowsOf(this.#lastRows(settled(this.#b, x))) }
}
