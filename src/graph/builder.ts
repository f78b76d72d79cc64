import { createHash } from 'node:crypto'
import { type Dim, product } from './dims.js'
import type { ExternalTensor } from './external.js'
import type { DType, Graph, Initializer, Node, Value } from './ir.js'
import type { Ops } from './operators.js'
import { prune } from './prune.js'
import { deriveOutputs } from './shapes.js'
import { verify } from './verify.js'

interface NodeOptions {
  /** Names of outputs that must have one, by position; the others get fresh names. */
  readonly names?: readonly (string | undefined)[]
  /** Names the dimensions of the first output that its shape rule cannot know. */
  readonly shape?: readonly Dim[]
}

/**
 * Appends nodes in execution order; shapes follow from the shape rules. Constants are kept once per content.
 * `finish` drops what no output needs and verifies the rest.
 */
export class GraphBuilder {
  readonly name: string
  readonly #outer: GraphBuilder | null
  readonly #inputs: Value[] = []
  readonly #outputs: Value[] = []
  readonly #nodes: Node[] = []
  readonly #initializers: Initializer[] = []
  readonly #byContent = new Map<string, Value>()
  readonly #externals = new Map<string, Value>()
  readonly #integers = new Map<Value, readonly number[]>()
  #count = 0

  constructor (name: string, outer: GraphBuilder | null = null) {
    this.name = name
    this.#outer = outer
  }

  /** A builder for the body of a `Scan`: it sees this graph's values, and its constants are this graph's. */
  body (name: string): GraphBuilder { return new GraphBuilder(name, this) }

  input (name: string, dtype: DType, shape: readonly Dim[]): Value {
    const value: Value = { name, dtype, shape }
    this.#inputs.push(value)
    return value
  }

  /** A tensor that stays in its file; asking twice for a name gives the same value. */
  external (name: string, tensor: ExternalTensor): Value {
    if (this.#outer !== null) return this.#outer.external(name, tensor)
    const known = this.#externals.get(name)
    if (known !== undefined) return known
    const value: Value = { name, dtype: tensor.dtype, shape: tensor.dims }
    this.#externals.set(name, value)
    this.#initializers.push({ value, data: tensor })
    return value
  }

  constant (dtype: DType, shape: readonly number[], data: Uint8Array | Float32Array | BigInt64Array | Int32Array): Value {
    if (this.#outer !== null) return this.#outer.constant(dtype, shape, data)
    const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength)
    const content = `${dtype}[${shape.join()}]${createHash('sha256').update(bytes).digest('hex')}`
    const known = this.#byContent.get(content)
    if (known !== undefined) return known
    const value: Value = { name: this.#fresh('const'), dtype, shape }
    this.#byContent.set(content, value)
    this.#initializers.push({ value, data: bytes })
    if (data instanceof BigInt64Array && shape.length === 1) this.#integers.set(value, Array.from(data, Number))
    return value
  }

  /** int64 [n] */
  integers (...values: readonly number[]): Value { return this.constant('int64', [values.length], BigInt64Array.from(values, BigInt)) }
  /** int64 scalar */
  integer (value: number): Value { return this.constant('int64', [], BigInt64Array.of(BigInt(value))) }
  /** float32 scalar */
  scalar (value: number): Value { return this.constant('float32', [], Float32Array.of(value)) }

  node<O extends keyof Ops> (op: O, inputs: Ops[O]['inputs'], attrs: Ops[O]['attrs'], { names = [], shape = [] }: NodeOptions = {}): Ops[O]['outputs'] {
    const taken = (inputs as readonly (Value | null)[])
    let derived
    try {
      derived = deriveOutputs({ op, inputs: taken, attrs }, value => this.#elements(value))
    } catch (error) {
      throw new Error(`internal: ${op} of ${taken.map(value => value?.name ?? 'none').join(', ')}`, { cause: error })
    }
    const outputs = derived.map((type, i): Value | null => {
      if (type === null) return null
      const dims = type.shape.map((dim, axis) => {
        const known = dim ?? (i === 0 ? shape[axis] : undefined)
        if (known === undefined) throw new Error(`internal: dimension ${axis} of ${op} needs a name`)
        return known
      })
      return { name: names[i] ?? this.#fresh(op), dtype: type.dtype, shape: dims }
    })
    this.#nodes.push({ op, inputs: taken, attrs, outputs })
    return outputs as Ops[O]['outputs']
  }

  /** The first output of a node. */
  op<O extends keyof Ops> (op: O, inputs: Ops[O]['inputs'], attrs: Ops[O]['attrs'], options?: NodeOptions): Value {
    return this.node(op, inputs, attrs, options)[0]!
  }

  add (a: Value, b: Value): Value { return this.op('Add', [a, b], {}) }
  sub (a: Value, b: Value): Value { return this.op('Sub', [a, b], {}) }
  mul (a: Value, b: Value): Value { return this.op('Mul', [a, b], {}) }

  gather (data: Value, indices: Value): Value { return this.op('Gather', [data, indices], { axis: 0 }) }
  transpose (data: Value, ...perm: readonly number[]): Value { return this.op('Transpose', [data], { perm }) }
  unsqueeze (data: Value, ...axes: readonly number[]): Value { return this.op('Unsqueeze', [data, this.integers(...axes)], {}) }
  squeeze (data: Value, ...axes: readonly number[]): Value { return this.op('Squeeze', [data, this.integers(...axes)], {}) }
  sum (data: Value, axis: number, keepdims: boolean): Value { return this.op('ReduceSum', [data, this.integers(axis)], { keepdims: keepdims ? 1 : 0 }) }

  /** alpha · a b; leading dimensions broadcast. */
  matmul (a: Value, b: Value, { transA = false, transB = false, alpha = 1 } = {}): Value {
    return this.op('FusedMatMul', [a, b], { transA: transA ? 1 : 0, transB: transB ? 1 : 0, alpha })
  }

  /** To a shape with at most one dimension that is neither a number nor already in its place; more need `computed`, an int64 tensor. */
  reshape (data: Value, shape: readonly Dim[], computed?: Value): Value {
    const target = computed ?? this.integers(...shape.map((dim, i) => typeof dim === 'number' ? dim : dim === data.shape[i] ? 0 : -1))
    return this.op('Reshape', [data, target], {}, { shape })
  }

  /** x [rows, n·size] as [rows·n, size]. */
  splitRows (x: Value, size: number): Value { return this.reshape(x, [product(x.shape[0]!, (x.shape[1] as number) / size), size]) }

  zerosLike (x: Value): Value {
    return this.op('ConstantOfShape', [this.op('Shape', [x], { start: 0, end: x.shape.length })], { value: { dtype: x.dtype, value: 0 } }, { shape: x.shape })
  }

  /** A graph output; a value that has another name is passed through an Identity. */
  output (value: Value, name: string = value.name): void {
    this.#outputs.push(value.name === name ? value : this.op('Identity', [value], {}, { names: [name] }))
  }

  /** @throws Error when the graph is not well-formed, which is a fault of whoever built it */
  finish (): Graph {
    const graph = prune({ name: this.name, inputs: this.#inputs, outputs: this.#outputs, initializers: this.#initializers, nodes: this.#nodes })
    // A body is verified with the graph that holds it: only there all its names are known.
    if (this.#outer === null) verify(graph)
    return graph
  }

  #elements (value: Value): readonly number[] | undefined {
    return this.#integers.get(value) ?? (this.#outer === null ? undefined : this.#outer.#elements(value))
  }

  #fresh (hint: string): string { return this.#outer === null ? `${hint}_${this.#count++}` : `${this.name}_${this.#outer.#fresh(hint)}` }
}
