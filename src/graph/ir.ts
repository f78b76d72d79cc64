/** The graph: read-only data in execution order, with ONNX's names for operators, inputs and attributes. */
import type { Dim } from './dims.js'
import type { ExternalTensor } from './external.js'
import type { Ops } from './operators.js'

export type DType = 'float32' | 'uint8' | 'int8' | 'int32' | 'int64' | 'bool'

export interface TensorType { readonly dtype: DType, readonly shape: readonly Dim[] }

export interface Value extends TensorType { readonly name: string }

export interface Node<O extends keyof Ops = keyof Ops> {
  readonly op: O
  /** Null: an optional input left out. */
  readonly inputs: readonly (Value | null)[]
  readonly attrs: Ops[O]['attrs']
  /** Null: an optional output nobody asked for. */
  readonly outputs: readonly (Value | null)[]
}

/** A constant: little-endian bytes inside the graph, or a tensor that stays in its file. */
export interface Initializer {
  readonly value: Value
  readonly data: Uint8Array | ExternalTensor
}

/**
 * Each input of a node is a graph input, an initializer or an earlier output; the body of a `Scan` also sees
 * the values of the graph around it.
 */
export interface Graph {
  readonly name: string
  readonly inputs: readonly Value[]
  readonly outputs: readonly Value[]
  readonly initializers: readonly Initializer[]
  readonly nodes: readonly Node[]
}
