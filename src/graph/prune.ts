import type { Graph, Node, Value } from './ir.js'
import { OPTIONAL_OUTPUTS } from './operators.js'

function bodyOf (node: Node): Graph | null { return 'body' in node.attrs ? node.attrs.body : null }

/** Names a node reads, those its body takes from around it included. */
export function reads (node: Node): string[] {
  const names = node.inputs.filter(input => input !== null).map(input => input.name)
  const body = bodyOf(node)
  return body === null ? names : [...names, ...body.nodes.flatMap(reads), ...body.outputs.map(output => output.name)]
}

/** Without the nodes, optional outputs and initializers that no graph output needs. Inputs stay: they are a contract. */
export function prune (graph: Graph): Graph {
  const needed = new Set(graph.outputs.map(output => output.name))
  const kept: Node[] = []
  for (const node of [...graph.nodes].reverse()) {
    const used = (output: Value | null): boolean => output !== null && needed.has(output.name)
    if (!node.outputs.some(used)) continue
    const optional = OPTIONAL_OUTPUTS[node.op]
    const outputs = node.outputs.map((output, i) => optional?.has(i) === true && !used(output) ? null : output)
    while (outputs.at(-1) === null) outputs.pop()
    kept.push({ ...node, outputs })
    for (const name of reads(node)) needed.add(name)
  }
  return { ...graph, nodes: kept.reverse(), initializers: graph.initializers.filter(({ value }) => needed.has(value.name)) }
}
