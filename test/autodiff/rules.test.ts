import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { MacroOps } from '../../src/autodiff/macro-ops.js'
import { Tape } from '../../src/autodiff/tape.js'
import { GraphBuilder } from '../../src/graph/builder.js'
import type { Dim } from '../../src/graph/dims.js'
import type { Value } from '../../src/graph/ir.js'
import { onnxBytes } from '../../src/graph/onnx.js'
import { type PromptPlacement, batchPlan } from '../../src/model/batch-plan.js'
import { planInputs } from '../../src/model/batch-plan-inputs.js'
import type { LlamaConfig } from '../../src/model/llama-config.js'
import { seededNumbers } from '../support/numbers.js'
import { type Feeds, float32, openSession, runSession } from '../support/ort.js'

const random = seededNumbers(5)
const numbers = (count: number): Float32Array => Float32Array.from({ length: count }, random)
const size = (shape: readonly number[]): number => shape.reduce((all, dim) => all * dim, 1)

interface Case<O extends keyof MacroOps> {
  readonly name: string
  /** Shapes of the inputs. */
  readonly inputs: readonly (readonly number[])[]
  /** The same as the graph declares them, where a plan names its rows. */
  readonly declared?: readonly (readonly Dim[])[]
  readonly attrs: (b: GraphBuilder) => MacroOps[O]['attrs']
  readonly feeds?: Feeds
  /** Outputs whose gradient is given; all by default. */
  readonly seeded?: readonly number[]
  /** The last row is the plan's null row, which nothing reads: its gradient is zero by construction. */
  readonly nullRow?: boolean
}

const constant = (b: GraphBuilder, ...shape: number[]): Value => b.constant('float32', shape, numbers(size(shape)))
const int64 = (b: GraphBuilder, ...values: number[]): Value => b.constant('int64', [values.length], BigInt64Array.from(values, BigInt))

function attentionCase (placement: PromptPlacement): Case<'attention'> {
  const config = { numHeads: 4, numKvHeads: 2, headSize: 6, vocabSize: 50, contextLength: 32 } as LlamaConfig
  const examples = [{ ids: [1, 2, 3], label: 0 }, { ids: [4], label: 0 }, { ids: [5, 6], label: 1 }]
  const { feeds } = batchPlan({ ...placement, config, objective: 'labels', numLabels: 2, examples })
  const tokens = feeds['ids']!.dims[0]!
  const queries = placement.method === 'prompt-tuning' ? placement.numVirtualTokens + tokens : tokens
  const keys = placement.numVirtualTokens + tokens
  return {
    name: placement.method,
    inputs: [[queries, 24], [keys, 12], [keys, 12]],
    declared: [[placement.method === 'prompt-tuning' ? 'T' : 'E', 24], ['keys', 12], ['keys', 12]],
    nullRow: true,
    attrs: b => planInputs(b, { ...placement, config, rows: 'N' }).attention,
    feeds
  }
}

/** At least one case per operator, by type. */
const CASES: { readonly [O in keyof MacroOps]: readonly Case<O>[] } = {
  linear: [{ name: 'rows', inputs: [[3, 4]], attrs: b => ({ weight: constant(b, 5, 4) }) }],
  rmsNorm: [{ name: 'rows', inputs: [[3, 6]], attrs: b => ({ gain: constant(b, 6), epsilon: 1e-5 }) }],
  addNorm: [
    { name: 'sum and norm', inputs: [[3, 6], [3, 6]], attrs: b => ({ gain: constant(b, 6), epsilon: 1e-5 }) },
    { name: 'sum alone', inputs: [[3, 6], [3, 6]], attrs: b => ({ gain: constant(b, 6), epsilon: 1e-5 }), seeded: [0] },
    { name: 'norm alone', inputs: [[3, 6], [3, 6]], attrs: b => ({ gain: constant(b, 6), epsilon: 1e-5 }), seeded: [1] }
  ],
  swiglu: [{ name: 'rows', inputs: [[3, 5], [3, 5]], attrs: () => ({}) }],
  rope: [{
    name: 'two heads of 6',
    inputs: [[3, 12]],
    attrs: b => {
      const angles = numbers(5 * 3)
      const table = (values: Float32Array): Value => b.constant('float32', [5, 3], values)
      return { positions: b.unsqueeze(int64(b, 4, 0, 2), 1), cos: table(angles.map(Math.cos)), sin: table(angles.map(Math.sin)), negativeSin: table(angles.map(angle => -Math.sin(angle))), heads: 2 }
    }
  }],
  attention: [attentionCase({ method: 'prompt-tuning', numVirtualTokens: 2 }), attentionCase({ method: 'prefix-tuning', numVirtualTokens: 3 })],
  concatRows: [{ name: 'two and three', inputs: [[2, 4], [3, 4]], attrs: () => ({ rows: 'both' }) }],
  splitColumns: [
    { name: 'three parts', inputs: [[2, 6]], attrs: () => ({ parts: 3 }) },
    { name: 'a part nobody reads', inputs: [[2, 6]], attrs: () => ({ parts: 3 }), seeded: [0, 2] }
  ],
  gatherRows: [{ name: 'a row taken twice', inputs: [[4, 3]], attrs: b => ({ rows: int64(b, 2, 0, 2) }) }],
  tokenLoss: [{
    name: 'chunks of two, one row of padding',
    inputs: [[4, 3]],
    attrs: b => ({ table: constant(b, 7, 3), labels: int64(b, 6, 0, 3, 0), weight: b.constant('float32', [4], Float32Array.of(0.5, 0.25, 1, 0)), chunk: 2 })
  }],
  labelLoss: [{
    name: 'loss',
    inputs: [[3, 4], [5, 4]],
    attrs: b => ({ labels: int64(b, 4, 0, 4), weight: b.constant('float32', [3], Float32Array.of(0.5, 0.25, 1)) }),
    seeded: [0]
  }]
}

/** Builds outputs and gradients of one operator, and compares them with (f(x + h) - f(x - h)) / 2h, f = Σ seed · output. */
async function checkGradient<O extends keyof MacroOps> (op: O, { inputs: shapes, declared = shapes, attrs, feeds = {}, seeded, nullRow = false }: Case<O>): Promise<void> {
  const b = new GraphBuilder(op)
  const tape = new Tape(b)
  const inputs = declared.map((shape, i) => tape.parameter(`x${i}`, shape, true))
  const outputs = tape.apply(op, inputs as unknown as MacroOps[O]['inputs'], attrs(b))
  const which = seeded ?? outputs.map((_, i) => i)
  const seeds = new Map(which.map(i => [outputs[i]!, b.input(`seed${i}`, 'float32', outputs[i]!.shape)]))
  const gradients = tape.gradients(seeds, inputs)
  for (const i of which) b.output(outputs[i]!, `y${i}`)
  for (const [i, gradient] of gradients.entries()) b.output(gradient, `d${i}`)

  const session = await openSession(onnxBytes(b.finish()), '.')
  try {
    const x = shapes.map(shape => numbers(size(shape)))
    // Only the rows of an attention have a name instead of a number, and its output is shaped as its queries.
    const dims = (i: number): number[] => outputs[i]!.shape.map((dim, axis) => typeof dim === 'number' ? dim : shapes[0]![axis]!)
    const seedValues = new Map(which.map(i => [i, numbers(size(dims(i)))]))
    if (nullRow) for (const [i, values] of seedValues) values.fill(0, values.length - dims(i).at(-1)!)
    const used = Object.fromEntries(Object.entries(feeds).filter(([name]) => session.inputNames.includes(name)))
    const run = (values: readonly Float32Array[], fetches: string[]): Promise<Record<string, Float32Array>> => runSession(session, {
      ...used,
      ...Object.fromEntries(values.map((value, i) => [`x${i}`, float32(value, ...shapes[i]!)])),
      ...Object.fromEntries([...seedValues].map(([i, value]) => [`seed${i}`, float32(value, ...dims(i))]))
    }, fetches)
    const f = async (values: readonly Float32Array[]): Promise<number> => {
      const found = await run(values, which.map(i => `y${i}`))
      return which.reduce((all, i) => all + found[`y${i}`]!.reduce((sum, y, j) => sum + y * seedValues.get(i)![j]!, 0), 0)
    }
    const exact = await run(x, shapes.map((_, i) => `d${i}`))
    const h = 2 ** -7
    for (const [i, shape] of shapes.entries()) {
      const got = exact[`d${i}`]!
      const largest = Math.max(...got.map(Math.abs))
      for (let j = 0; j < size(shape); j++) {
        const moved = (step: number): Float32Array[] => x.map((values, k) => k === i ? values.map((value, l) => l === j ? value + step : value) : values)
        const expected = (await f(moved(h)) - await f(moved(-h))) / (2 * h)
        const difference = Math.abs(got[j]! - expected)
        assert.ok(difference <= 2e-3 * largest + 1e-5, `${op}, input ${i}[${j}]: central difference ${expected}, got ${got[j]}, largest entry ${largest}`)
      }
    }
  } finally {
    await session.release()
  }
}

for (const op of Object.keys(CASES) as (keyof MacroOps)[]) {
  for (const one of CASES[op]) {
    test(`gradient of ${op} (${one.name}) as central differences`, () => checkGradient(op, one as Case<typeof op>))
  }
}
