import type { GraphBuilder } from '../graph/builder.js'
import type { Dim } from '../graph/dims.js'
import type { Value } from '../graph/ir.js'
import type { MacroOps, Recorded } from './macro-ops.js'
import { RULES } from './rules.js'

interface Entry {
  readonly inputs: readonly Value[]
  readonly outputs: readonly Value[]
  readonly gradient: (gradients: ReadonlyArray<Value | undefined>, wanted: readonly boolean[]) => ReadonlyArray<Value | null>
}

/** Reverse-mode differentiation: `apply` emits the forward nodes and records them, `gradients` walks the record backwards. */
export class Tape {
  readonly #builder: GraphBuilder
  readonly #entries: Entry[] = []
  readonly #differentiable = new Set<Value>()

  constructor (builder: GraphBuilder) { this.#builder = builder }

  /** A float32 graph input; with `trained` gradients reach it. */
  parameter (name: string, shape: readonly Dim[], trained: boolean): Value {
    const value = this.#builder.input(name, 'float32', shape)
    if (trained) this.#differentiable.add(value)
    return value
  }

  apply<O extends keyof MacroOps> (op: O, inputs: MacroOps[O]['inputs'], attrs: MacroOps[O]['attrs']): MacroOps[O]['outputs'] {
    const rule = RULES[op]
    const differentiate = inputs.some(input => this.#differentiable.has(input))
    const { outputs, saved } = rule.forward(this.#builder, inputs, attrs, differentiate)
    if (differentiate) {
      const node: Recorded<O> = { inputs, attrs, outputs, saved }
      this.#entries.push({ inputs, outputs, gradient: (gradients, wanted) => rule.gradient(this.#builder, node, gradients, wanted) })
      for (const output of outputs) this.#differentiable.add(output)
    }
    return outputs
  }

  /**
   * d Σ (seed · output) / d parameter for each parameter, as values of the graph: `seeds` holds a gradient of each output.
   * @throws Error when no output depends on a parameter
   */
  gradients (seeds: ReadonlyMap<Value, Value>, parameters: readonly Value[]): Value[] {
    const found = new Map(seeds)
    for (const entry of [...this.#entries].reverse()) {
      const outer = entry.outputs.map(output => found.get(output))
      if (outer.every(gradient => gradient === undefined)) continue
      const wanted = entry.inputs.map(input => this.#differentiable.has(input))
      const inner = entry.gradient(outer, wanted)
      for (const [i, input] of entry.inputs.entries()) {
        const gradient = inner[i]
        if (wanted[i] !== true || gradient == null) continue
        const before = found.get(input)
        found.set(input, before === undefined ? gradient : this.#builder.add(before, gradient))
      }
    }
    return parameters.map(parameter => {
      const gradient = found.get(parameter)
      if (gradient === undefined) throw new Error(`internal: nothing depends on ${parameter.name}`)
      return gradient
    })
  }
}
