/**
 * What each operator gives for what it takes: one rule per operator. A dimension of null depends on data (or is a sum
 * of symbols) and is named by whoever builds the node; an output of null does not exist.
 */
import { type Dim, broadcast, product, quotient } from './dims.js'
import type { DType, Node, TensorType, Value } from './ir.js'
import type { Ops } from './operators.js'

export interface Derived { readonly dtype: DType, readonly shape: readonly (Dim | null)[] }
/** The elements of a small inline int64 tensor; undefined when the value is computed at run time. */
export type Constants = (value: Value) => readonly number[] | undefined

type ShapeRule<O extends keyof Ops> = (inputs: Ops[O]['inputs'], attrs: Ops[O]['attrs'], constants: Constants) => readonly (Derived | null)[]

class ShapeError extends Error { override readonly name = 'ShapeError' }

const text = (type: TensorType): string => `${type.dtype}[${type.shape.join(',')}]`

function broadcastAll (dtype: DType, types: readonly TensorType[]): Derived[] {
  const shape = types.map(type => type.shape).reduce((all, next) => {
    const both = broadcast(all, next)
    if (both === null) throw new ShapeError(`${types.map(text).join(' and ')} do not broadcast`)
    return both
  })
  return [{ dtype, shape }]
}

function axisOf (axis: number, rank: number): number {
  const at = axis < 0 ? axis + rank : axis
  if (at < 0 || at >= rank) throw new ShapeError(`axis ${axis} of rank ${rank}`)
  return at
}

function expectSame (what: string, a: Dim | undefined, b: Dim | undefined): void {
  if (a === undefined || a !== b) throw new ShapeError(`${what}: ${a} and ${b} differ`)
}

function knownAxes (axes: Value, constants: Constants): readonly number[] {
  const known = constants(axes)
  if (known === undefined) throw new ShapeError('axes must be constant')
  return known
}

const same = ([x]: readonly [Value, ...unknown[]]): Derived[] => [x]
const binary = ([a, b]: readonly [Value, Value]): Derived[] => {
  if (a.dtype !== b.dtype) throw new ShapeError(`${text(a)} with ${text(b)}`)
  return broadcastAll(a.dtype, [a, b])
}
const comparison = (inputs: readonly [Value, Value]): Derived[] => [{ dtype: 'bool', shape: binary(inputs)[0]!.shape }]

function reduced ([data, axes]: readonly [Value, Value], { keepdims }: { keepdims: number }, constants: Constants): Derived[] {
  const gone = new Set(knownAxes(axes, constants).map(axis => axisOf(axis, data.shape.length)))
  const shape = data.shape.flatMap((dim, i): Dim[] => !gone.has(i) ? [dim] : keepdims === 1 ? [1] : [])
  return [{ dtype: data.dtype, shape }]
}

function summed (dims: readonly Dim[]): Dim | null {
  return dims.every(dim => typeof dim === 'number') ? dims.reduce((all, dim) => all + dim, 0) : dims.length === 1 ? dims[0]! : null
}

function matrixProduct (a: readonly Dim[], b: readonly Dim[], transA: boolean, transB: boolean): Dim[] {
  const lead = broadcast(a.slice(0, -2), b.slice(0, -2))
  if (lead === null) throw new ShapeError(`leading dimensions of [${a.join(',')}] and [${b.join(',')}]`)
  expectSame('inner dimensions', a.at(transA ? -2 : -1), b.at(transB ? -1 : -2))
  return [...lead, a.at(transA ? -1 : -2)!, b.at(transB ? -2 : -1)!]
}

function runtimeShape (shape: Value): null[] {
  const rank = shape.shape[0]
  if (typeof rank !== 'number') throw new ShapeError('a shape of unknown rank')
  return Array.from({ length: rank }, () => null)
}

function reshaped (data: Value, target: readonly number[]): (Dim | null)[] {
  const dims: (Dim | null)[] = target.map((dim, i) => dim === 0 ? data.shape[i] ?? null : dim === -1 ? null : dim)
  const rest = product(...dims.filter(dim => dim !== null))
  const hole = target.indexOf(-1)
  if (hole >= 0) dims[hole] = quotient(product(...data.shape), rest)
  else expectSame(`elements of ${text(data)} as [${target.join(',')}]`, product(...data.shape), rest)
  return dims
}

export const SHAPE_RULES: { readonly [O in keyof Ops]: ShapeRule<O> } = {
  Abs: same,
  Add: binary,
  Cast: ([x], { to }) => [{ dtype: to, shape: x.shape }],
  Concat: (parts, { axis }) => {
    const first = parts[0]!
    const at = axisOf(axis, first.shape.length)
    for (const part of parts) for (const [i, dim] of part.shape.entries()) if (i !== at) expectSame('parts of Concat', dim, first.shape[i])
    return [{ dtype: first.dtype, shape: first.shape.map((dim, i) => i === at ? summed(parts.map(part => part.shape[at]!)) : dim) }]
  },
  ConstantOfShape: ([shape], { value }, constants) => [{ dtype: value.dtype, shape: constants(shape) ?? runtimeShape(shape) }],
  Exp: same,
  Expand: ([data, shape]) => [{ dtype: data.dtype, shape: runtimeShape(shape) }],
  Gather: ([data, indices], { axis }) => {
    const at = axisOf(axis, data.shape.length)
    return [{ dtype: data.dtype, shape: [...data.shape.slice(0, at), ...indices.shape, ...data.shape.slice(at + 1)] }]
  },
  GatherElements: ([data, indices]) => [{ dtype: data.dtype, shape: indices.shape }],
  Gemm: ([a, b], { transB }) => [{ dtype: a.dtype, shape: matrixProduct(a.shape, b.shape, false, transB === 1) }],
  Identity: same,
  LessOrEqual: comparison,
  Less: comparison,
  Log: same,
  LogSoftmax: same,
  Max: binary,
  Mul: binary,
  Neg: same,
  OneHot: ([indices, , values]) => [{ dtype: values.dtype, shape: [...indices.shape, null] }],
  QuantizeLinear: ([x, scale, zeroPoint], { axis }) => {
    if (scale.shape.length === 1) expectSame('scales of QuantizeLinear', scale.shape[0], x.shape[axisOf(axis, x.shape.length)])
    return [{ dtype: zeroPoint.dtype, shape: x.shape }]
  },
  Range: ([start]) => [{ dtype: start.dtype, shape: [null] }],
  ReduceMax: reduced,
  ReduceMean: reduced,
  ReduceSum: reduced,
  Reshape: ([data, shape], _, constants) => {
    const target = constants(shape)
    return [{ dtype: data.dtype, shape: target === undefined ? runtimeShape(shape) : reshaped(data, target) }]
  },
  Scan: (inputs, { body, num_scan_inputs: count }) => {
    if (inputs.length !== count || body.inputs.length !== count) throw new ShapeError('Scan here carries no state: every input is cut into steps')
    const steps = inputs[0]!.shape[0]!
    for (const [i, input] of inputs.entries()) {
      expectSame('steps of Scan', input.shape[0], steps)
      expectSame(`input ${i} of the body`, input.shape.slice(1).join(), body.inputs[i]!.shape.join())
    }
    return body.outputs.map(output => ({ dtype: output.dtype, shape: [steps, ...output.shape] }))
  },
  ScatterND: ([data, indices, updates]) => {
    const depth = indices.shape.at(-1)
    if (typeof depth !== 'number') throw new ShapeError('indices of ScatterND of unknown depth')
    expectSame('updates of ScatterND', updates.shape.join(), [...indices.shape.slice(0, -1), ...data.shape.slice(depth)].join())
    return [data]
  },
  Shape: (_, { start, end }) => [{ dtype: 'int64', shape: [end - start] }],
  Sigmoid: same,
  SimplifiedLayerNormalization: ([x, scale]) => {
    expectSame('scale of the norm', scale.shape.join(), String(x.shape.at(-1)))
    return [x, { dtype: 'float32', shape: [...x.shape.slice(0, -1), 1] }]
  },
  Slice: ([data, starts, ends, axes], _, constants) => {
    const from = constants(starts)
    const to = constants(ends)
    const shape: (Dim | null)[] = [...data.shape]
    for (const [i, axis] of knownAxes(axes, constants).entries()) {
      const at = axisOf(axis, shape.length)
      const size = data.shape[at]!
      const [start, end] = [from?.[i], to?.[i]]
      if (start === undefined || end === undefined || start < 0 || end < 0) shape[at] = null
      else if (typeof size === 'number') shape[at] = Math.max(0, Math.min(end, size) - start)
      // A slice of a symbolic dimension ends where it says: callers only cut what is there.
      else shape[at] = end < Number.MAX_SAFE_INTEGER ? end - start : null
    }
    return [{ dtype: data.dtype, shape }]
  },
  Softmax: same,
  Split: ([data, split], { axis }, constants) => {
    const sizes = constants(split)
    if (sizes === undefined) throw new ShapeError('sizes of Split must be constant')
    const at = axisOf(axis, data.shape.length)
    expectSame('sizes of Split', sizes.reduce((all, size) => all + size, 0), data.shape[at])
    return sizes.map(size => ({ dtype: data.dtype, shape: data.shape.map((dim, i) => i === at ? size : dim) }))
  },
  Squeeze: ([data, axes], _, constants) => {
    const gone = new Set(knownAxes(axes, constants).map(axis => axisOf(axis, data.shape.length)))
    for (const axis of gone) expectSame('squeezed dimension', data.shape[axis], 1)
    return [{ dtype: data.dtype, shape: data.shape.filter((_, i) => !gone.has(i)) }]
  },
  Sub: binary,
  Transpose: ([data], { perm }) => {
    expectSame('rank of Transpose', perm.length, data.shape.length)
    return [{ dtype: data.dtype, shape: perm.map(axis => data.shape[axis]!) }]
  },
  Unsqueeze: ([data, axes], _, constants) => {
    const shape = [...data.shape]
    const rank = shape.length + knownAxes(axes, constants).length
    for (const axis of knownAxes(axes, constants).map(axis => axisOf(axis, rank)).sort((a, b) => a - b)) shape.splice(axis, 0, 1)
    return [{ dtype: data.dtype, shape }]
  },
  Where: ([condition, x, y]) => {
    if (condition.dtype !== 'bool' || x.dtype !== y.dtype) throw new ShapeError(`Where of ${text(condition)}, ${text(x)}, ${text(y)}`)
    return broadcastAll(x.dtype, [condition, x, y])
  },
  FusedMatMul: ([a, b], { transA, transB }) => [{ dtype: a.dtype, shape: matrixProduct(a.shape, b.shape, transA === 1, transB === 1) }],
  GroupQueryAttention: ([query, key, , pastKey, pastValue], { num_heads: heads }) => {
    if (key !== null) expectSame('key width', key.shape[2], product(pastKey.shape[1]!, pastKey.shape[3]!))
    return [{ dtype: query.dtype, shape: [query.shape[0]!, query.shape[1]!, product(heads, pastKey.shape[3]!)] }, pastKey, pastValue]
  },
  MatMulIntegerToFloat: ([a, b, , bScale]) => {
    const shape = matrixProduct(a.shape, b.shape, false, false)
    expectSame('scales of MatMulIntegerToFloat', bScale.shape.join(), String(shape.at(-1)))
    return [{ dtype: 'float32', shape }]
  },
  QuickGelu: same,
  RotaryEmbedding: same,
  SkipSimplifiedLayerNormalization: ([input, skip, gamma]) => {
    expectSame('skip of the norm', skip.shape.join(), input.shape.join())
    expectSame('scale of the norm', gamma.shape.join(), String(input.shape.at(-1)))
    return [input, null, { dtype: 'float32', shape: [...input.shape.slice(0, -1), 1] }, input]
  }
}

/** @throws ShapeError that says what does not fit */
export function deriveOutputs (node: Pick<Node, 'op' | 'inputs' | 'attrs'>, constants: Constants): readonly (Derived | null)[] {
  const rule = SHAPE_RULES[node.op] as (inputs: Node['inputs'], attrs: Node['attrs'], constants: Constants) => readonly (Derived | null)[]
  return rule(node.inputs, node.attrs, constants)
}
