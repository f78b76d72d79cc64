/** Every operator a graph may use: what it takes and gives, which attributes it has, and the domain it lives in. */
import type { DType, Graph, Value } from './ir.js'

type None = Record<never, never>
interface Op<Inputs extends readonly (Value | null | undefined)[], Attrs = None, Outputs extends readonly (Value | null)[] = readonly [Value]> {
  inputs: Inputs
  attrs: Readonly<Attrs>
  outputs: Outputs
}
type Unary<Attrs = None> = Op<readonly [x: Value], Attrs>
type Binary = Op<readonly [a: Value, b: Value]>
type Reduction = Op<readonly [data: Value, axes: Value], { keepdims: number }>

/** Operator -> inputs in ONNX order, attributes with ONNX names, outputs. */
export interface Ops {
  Abs: Unary
  Add: Binary
  Cast: Unary<{ to: DType }>
  Concat: Op<readonly Value[], { axis: number }>
  ConstantOfShape: Op<readonly [shape: Value], { value: ScalarTensor }>
  Exp: Unary
  Expand: Op<readonly [data: Value, shape: Value]>
  Gather: Op<readonly [data: Value, indices: Value], { axis: number }>
  GatherElements: Op<readonly [data: Value, indices: Value], { axis: number }>
  Gemm: Op<readonly [a: Value, b: Value], { transB: number }>
  Identity: Unary
  LessOrEqual: Binary
  Less: Binary
  Log: Unary
  LogSoftmax: Unary<{ axis: number }>
  Max: Binary
  Mul: Binary
  Neg: Unary
  OneHot: Op<readonly [indices: Value, depth: Value, values: Value], { axis: number }>
  QuantizeLinear: Op<readonly [x: Value, scale: Value, zeroPoint: Value], { axis: number }>
  Range: Op<readonly [start: Value, limit: Value, delta: Value]>
  ReduceMax: Reduction
  ReduceMean: Reduction
  ReduceSum: Reduction
  Reshape: Op<readonly [data: Value, shape: Value]>
  Scan: Op<readonly Value[], { body: Graph, num_scan_inputs: number }, readonly Value[]>
  ScatterND: Op<readonly [data: Value, indices: Value, updates: Value], { reduction: 'none' | 'add' }>
  Shape: Op<readonly [data: Value], { start: number, end: number }>
  Sigmoid: Unary
  /** RMSNorm: y = x / rms(x) * scale, and 1 / rms(x). */
  SimplifiedLayerNormalization: Op<readonly [x: Value, scale: Value], { axis: number, epsilon: number, stash_type: number }, readonly [y: Value, inverseRms: Value]>
  Slice: Op<readonly [data: Value, starts: Value, ends: Value, axes: Value]>
  Softmax: Unary<{ axis: number }>
  Split: Op<readonly [data: Value, split: Value], { axis: number }, readonly Value[]>
  Squeeze: Op<readonly [data: Value, axes: Value]>
  Sub: Binary
  Transpose: Op<readonly [data: Value], { perm: readonly number[] }>
  Unsqueeze: Op<readonly [data: Value, axes: Value]>
  Where: Op<readonly [condition: Value, x: Value, y: Value]>
  /** alpha * A B, either side transposed, leading dimensions broadcast. */
  FusedMatMul: Op<readonly [a: Value, b: Value], { transA: number, transB: number, alpha: number }>
  /** Query packed as q|k|v (key and value null) or apart; rotates, appends to the cache, attends. */
  GroupQueryAttention: Op<
    readonly [query: Value, key: Value | null, value: Value | null, pastKey: Value, pastValue: Value, seqlensK: Value, totalSequenceLength: Value, cos: Value, sin: Value],
    { num_heads: number, kv_num_heads: number, do_rotary: number, rotary_interleaved: number, scale: number },
    readonly [y: Value, presentKey: Value, presentValue: Value]>
  MatMulIntegerToFloat: Op<readonly [a: Value, b: Value, aScale: Value, bScale: Value, aZeroPoint: Value]>
  /** x * sigmoid(alpha x); SiLU for alpha 1. */
  QuickGelu: Unary<{ alpha: number }>
  RotaryEmbedding: Op<readonly [x: Value, positions: Value, cos: Value, sin: Value], { interleaved: number, num_heads: number }>
  /** RMSNorm of input + skip; the second output (mean) does not exist for it. */
  SkipSimplifiedLayerNormalization: Op<readonly [input: Value, skip: Value, gamma: Value], { epsilon: number }, readonly [y: Value, mean: null, inverseRms: Value, sum: Value]>
}

export interface ScalarTensor { readonly dtype: DType, readonly value: number }

export type AttributeKind = 'int' | 'float' | 'ints' | 'string' | 'dtype' | 'graph' | 'scalar'

const none = {} as const
const axis = { axis: 'int' } as const
const reduction = { keepdims: 'int' } as const

/** How each attribute is written. A number alone does not say whether ONNX wants an integer or a float. */
export const ATTRIBUTE_KINDS: { readonly [O in keyof Ops]: { readonly [A in keyof Ops[O]['attrs']]-?: AttributeKind } } = {
  Abs: none,
  Add: none,
  Cast: { to: 'dtype' },
  Concat: axis,
  ConstantOfShape: { value: 'scalar' },
  Exp: none,
  Expand: none,
  Gather: axis,
  GatherElements: axis,
  Gemm: { transB: 'int' },
  Identity: none,
  LessOrEqual: none,
  Less: none,
  Log: none,
  LogSoftmax: axis,
  Max: none,
  Mul: none,
  Neg: none,
  OneHot: axis,
  QuantizeLinear: axis,
  Range: none,
  ReduceMax: reduction,
  ReduceMean: reduction,
  ReduceSum: reduction,
  Reshape: none,
  Scan: { body: 'graph', num_scan_inputs: 'int' },
  ScatterND: { reduction: 'string' },
  Shape: { start: 'int', end: 'int' },
  Sigmoid: none,
  SimplifiedLayerNormalization: { axis: 'int', epsilon: 'float', stash_type: 'int' },
  Slice: none,
  Softmax: axis,
  Split: axis,
  Squeeze: none,
  Sub: none,
  Transpose: { perm: 'ints' },
  Unsqueeze: none,
  Where: none,
  FusedMatMul: { transA: 'int', transB: 'int', alpha: 'float' },
  GroupQueryAttention: { num_heads: 'int', kv_num_heads: 'int', do_rotary: 'int', rotary_interleaved: 'int', scale: 'float' },
  MatMulIntegerToFloat: none,
  QuickGelu: { alpha: 'float' },
  RotaryEmbedding: { interleaved: 'int', num_heads: 'int' },
  SkipSimplifiedLayerNormalization: { epsilon: 'float' }
}

/** Operators of ONNX Runtime's own domain; the rest are ONNX's (as is SimplifiedLayerNormalization, to ONNX Runtime). */
export const MICROSOFT_OPS: ReadonlySet<keyof Ops> = new Set([
  'FusedMatMul', 'GroupQueryAttention', 'MatMulIntegerToFloat', 'QuickGelu', 'RotaryEmbedding', 'SkipSimplifiedLayerNormalization'
])

/** Outputs that may be left out when nobody reads them. */
export const OPTIONAL_OUTPUTS: { readonly [O in keyof Ops]?: ReadonlySet<number> } = {
  SimplifiedLayerNormalization: new Set([1]),
  SkipSimplifiedLayerNormalization: new Set([1, 2, 3])
}
