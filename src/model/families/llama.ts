/**
 * The Llama architecture, once. What an operation becomes (differentiable nodes, float32 or int8 kernels, attention with a
 * cache or over a packed batch) is decided by the `LlamaOps` it is traced with; `T` is whatever those pass around.
 */
import type { LlamaConfig } from '../llama-config.js'
import { EMBEDDING, HEAD } from '../llama-tensors.js'

/** Linears that read the same rows. A group is one product where the number format joins its weights. */
export const LINEAR_GROUPS = {
  qkv: ['self_attn.q_proj', 'self_attn.k_proj', 'self_attn.v_proj'],
  output: ['self_attn.o_proj'],
  gateUp: ['mlp.gate_proj', 'mlp.up_proj'],
  down: ['mlp.down_proj']
} as const
export type LinearGroup = keyof typeof LINEAR_GROUPS
type AsMany<T, Names extends readonly string[]> = { readonly [I in keyof Names]: T }
export type Projected<T, G extends LinearGroup> = AsMany<T, (typeof LINEAR_GROUPS)[G]>

export interface LlamaOps<T> {
  /** The residual sum (of `stream` alone at the first layer) and its RMSNorm. */
  addNorm (stream: T, pending: T | null, gain: string): readonly [sum: T, normed: T]
  project<G extends LinearGroup> (x: T, group: G, layer: number): Projected<T, G>
  /** Rotates q and k by position and attends causally; a prefix or a cache is the lowering's affair. */
  attention (q: T, k: T, v: T, layer: number): T
  /** silu(gate) · up */
  swiglu (gate: T, up: T, layer: number): T
  /** The rows that pass the last norm. */
  lastRows (x: T): T
}

export const headName = (config: LlamaConfig): string => config.tiedEmbeddings ? EMBEDDING : HEAD
export const linearName = (layer: number, linear: string): string => `model.layers.${layer}.${linear}.weight`

/** The residual stream between layers: the sum is left to the next norm, which does both in one kernel. */
interface Residual<T> { readonly stream: T, readonly pending: T | null }

function llamaLayer<T> (ops: LlamaOps<T>, layer: number, { stream, pending }: Residual<T>): Residual<T> {
  const [x, attentionInput] = ops.addNorm(stream, pending, linearName(layer, 'input_layernorm'))
  const [q, k, v] = ops.project(attentionInput, 'qkv', layer)
  const [attended] = ops.project(ops.attention(q, k, v, layer), 'output', layer)
  const [y, mlpInput] = ops.addNorm(x, attended, linearName(layer, 'post_attention_layernorm'))
  const [gate, up] = ops.project(mlpInput, 'gateUp', layer)
  const [down] = ops.project(ops.swiglu(gate, up, layer), 'down', layer)
  return { stream: y, pending: down }
}

/** From embedded rows to the rows behind the last norm. */
export function llamaHidden<T> (ops: LlamaOps<T>, config: LlamaConfig, embedded: T): T {
  let residual: Residual<T> = { stream: embedded, pending: null }
  for (let layer = 0; layer < config.numLayers; layer++) residual = llamaLayer(ops, layer, residual)
  const { stream, pending } = residual
  return ops.addNorm(ops.lastRows(stream), pending === null ? null : ops.lastRows(pending), 'model.norm.weight')[1]
}
