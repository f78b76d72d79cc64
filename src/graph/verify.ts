import type { Graph, Initializer, Value } from './ir.js'
import { type Constants, deriveOutputs } from './shapes.js'

function integersOf ({ value, data }: Initializer): readonly number[] | undefined {
  if (value.dtype !== 'int64' || value.shape.length !== 1 || !(data instanceof Uint8Array)) return undefined
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength)
  return Array.from({ length: data.byteLength / 8 }, (_, i) => Number(view.getBigInt64(i * 8, true)))
}

const sameType = (a: Value, b: Value): boolean => a.dtype === b.dtype && a.shape.join() === b.shape.join()

function verifyScope (graph: Graph, outer: ReadonlyMap<string, Value>, outerConstants: Constants): void {
  const known = new Map(outer)
  const define = (value: Value): void => {
    if (value.name === '') throw new Error(`internal: a value of ${graph.name} has no name`)
    if (known.has(value.name)) throw new Error(`internal: ${graph.name} defines ${value.name} twice`)
    known.set(value.name, value)
  }
  const use = (value: Value, where: string): void => {
    const found = known.get(value.name)
    if (found === undefined) throw new Error(`internal: ${where} reads ${value.name}, which nothing before it defines`)
    if (!sameType(found, value)) throw new Error(`internal: ${where} reads ${value.name} as ${value.dtype}[${value.shape.join()}], it is ${found.dtype}[${found.shape.join()}]`)
  }
  for (const input of graph.inputs) define(input)
  for (const { value } of graph.initializers) define(value)
  const inline = new Map(graph.initializers.map(initializer => [initializer.value.name, initializer]))
  const constants: Constants = value => {
    const initializer = inline.get(value.name)
    return initializer === undefined ? outerConstants(value) : integersOf(initializer)
  }
  for (const node of graph.nodes) {
    const where = `${node.op} ${node.outputs.find(output => output !== null)?.name ?? ''}`
    for (const input of node.inputs) if (input !== null) use(input, where)
    let derived
    try {
      derived = deriveOutputs(node, constants)
    } catch (error) {
      throw new Error(`internal: ${where}`, { cause: error })
    }
    for (const [i, output] of node.outputs.entries()) {
      if (output === null) continue
      const type = derived[i]
      const fits = type != null && type.dtype === output.dtype && type.shape.length === output.shape.length && type.shape.every((dim, axis) => dim === null || dim === output.shape[axis])
      if (!fits) throw new Error(`internal: ${where} declares ${output.dtype}[${output.shape.join()}], its rule says ${type == null ? 'nothing' : `${type.dtype}[${type.shape.join()}]`}`)
      define(output)
    }
    if ('body' in node.attrs) verifyScope(node.attrs.body, known, constants)
  }
  for (const output of graph.outputs) use(output, `output of ${graph.name}`)
}

/** Re-derives every type and finds names that are unknown or defined twice. @throws Error naming the node */
export function verify (graph: Graph): void {
  verifyScope(graph, new Map(), () => undefined)
}
