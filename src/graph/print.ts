import type { Graph, Initializer, Node, Value } from './ir.js'

const typed = (value: Value): string => `${value.name}: ${value.dtype}[${value.shape.join(',')}]`

function attributes (attrs: Node['attrs']): string {
  const parts = Object.entries(attrs as Readonly<Record<string, unknown>>).map(([name, value]) => {
    const shown = typeof value === 'object' && value !== null && 'nodes' in value ? `@${(value as Graph).name}` : Array.isArray(value) ? value.join(',') : typeof value === 'object' ? JSON.stringify(value) : String(value)
    return `${name}=${shown}`
  })
  return parts.length === 0 ? '' : `{${parts.join(' ')}}`
}

function constant ({ value, data }: Initializer): string {
  if (!(data instanceof Uint8Array)) return `${typed(value)} = ${data.file}@${data.offset}`
  const count = value.shape.reduce<number>((all, dim) => all * Number(dim), 1)
  if (count > 8) return `${typed(value)} = ${count} values`
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength)
  const element = (i: number): string => value.dtype === 'int64'
    ? String(view.getBigInt64(i * 8, true))
    : String(value.dtype === 'float32' ? view.getFloat32(i * 4, true) : value.dtype === 'int32' ? view.getInt32(i * 4, true) : value.dtype === 'int8' ? view.getInt8(i) : view.getUint8(i))
  return `${typed(value)} = ${Array.from({ length: count }, (_, i) => element(i)).join(' ')}`
}

function lines (graph: Graph, indent: string): string[] {
  const nodes = graph.nodes.flatMap(node => {
    const inputs = node.inputs.map(input => input?.name ?? '_').join(', ')
    const line = `${indent}  ${node.outputs.map(output => output === null ? '_' : typed(output)).join(', ')} = ${node.op}${attributes(node.attrs)}(${inputs})`
    return 'body' in node.attrs ? [line, ...lines(node.attrs.body, `${indent}  `)] : [line]
  })
  return [
    `${indent}${graph.name}(${graph.inputs.map(typed).join(', ')})`,
    ...graph.initializers.map(initializer => `${indent}  ${constant(initializer)}`),
    ...nodes,
    `${indent}  return ${graph.outputs.map(output => output.name).join(', ')}`
  ]
}

/** The graph as text, one node a line, for tests and people. */
export function print (graph: Graph): string { return lines(graph, '').join('\n') }
