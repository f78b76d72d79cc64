import type { RopeAttrs } from '../../autodiff/macro-ops.js'
import { Tape } from '../../autodiff/tape.js'
import { GraphBuilder } from '../../graph/builder.js'
import { product } from '../../graph/dims.js'
import type { Value } from '../../graph/ir.js'
import { onnxBytes } from '../../graph/onnx.js'
import { DEFAULT_LOSS_CHUNK, type Objective, type PromptPlacement } from '../batch-plan.js'
import { type BatchPlanInputs, planInputs } from '../batch-plan-inputs.js'
import type { PlainWeights } from '../frozen-weights.js'
import type { LlamaConfig } from '../llama-config.js'
import { EMBEDDING } from '../llama-tensors.js'
import { LINEAR_GROUPS, type LinearGroup, type LlamaOps, type Projected, headName, linearName, llamaHidden } from './llama.js'
import { ropeTables } from './rope-tables.js'

export interface TrainingGraphOptions extends PromptPlacement {
  readonly config: LlamaConfig
  readonly weights: PlainWeights
  readonly objective: Objective
  /** Without: loss (and label logits) only, for evaluation; a third of the work. */
  readonly gradients: boolean
  /** Rows whose vocabulary logits exist at a time; the plan pads its label rows to a multiple. */
  readonly lossChunk?: number
  /** Positions of the rotation table; defaults to the base's context length. */
  readonly maxPositions?: number
}

interface Prefix { readonly key: Value, readonly value: Value }

class DifferentiableLlama implements LlamaOps<Value> {
  readonly #b: GraphBuilder
  readonly #tape: Tape
  readonly #options: TrainingGraphOptions
  readonly #plan: BatchPlanInputs
  readonly #rope: Omit<RopeAttrs, 'heads'>
  /** One per layer with prefix tuning. */
  readonly #prefixes: readonly Prefix[]

  constructor (b: GraphBuilder, tape: Tape, options: TrainingGraphOptions, plan: BatchPlanInputs, prefixes: readonly Prefix[]) {
    this.#b = b
    this.#tape = tape
    this.#options = options
    this.#plan = plan
    this.#prefixes = prefixes
    const { config, maxPositions = config.contextLength } = options
    const { cos, sin } = ropeTables(config, maxPositions)
    const table = (values: Float32Array): Value => b.constant('float32', [maxPositions, config.headSize / 2], values)
    this.#rope = { positions: plan.positions, cos: table(cos), sin: table(sin), negativeSin: table(sin.map(value => -value)) }
  }

  addNorm (stream: Value, pending: Value | null, gain: string): readonly [Value, Value] {
    const attrs = { gain: this.weight(gain), epsilon: this.#options.config.rmsNormEps }
    if (pending !== null) return this.#tape.apply('addNorm', [stream, pending], attrs)
    return [stream, this.#tape.apply('rmsNorm', [stream], attrs)[0]]
  }

  project<G extends LinearGroup> (x: Value, group: G, layer: number): Projected<Value, G> {
    const outputs = LINEAR_GROUPS[group].map(name => this.#tape.apply('linear', [x], { weight: this.weight(linearName(layer, name)) })[0])
    return outputs as unknown as Projected<Value, G>
  }

  attention (q: Value, k: Value, v: Value, layer: number): Value {
    const { numHeads, numKvHeads } = this.#options.config
    const [rotatedQ] = this.#tape.apply('rope', [q], { ...this.#rope, heads: numHeads })
    const [rotatedK] = this.#tape.apply('rope', [k], { ...this.#rope, heads: numKvHeads })
    const prefix = this.#prefixes[layer]
    // A prefix enters behind projection and rotation: its keys carry no position.
    const behind = (first: Value | undefined, own: Value): Value => first === undefined ? own : this.#tape.apply('concatRows', [first, own], { rows: '(P+E)' })[0]
    return this.#tape.apply('attention', [rotatedQ, behind(prefix?.key, rotatedK), behind(prefix?.value, v)], this.#plan.attention)[0]
  }

  swiglu (gate: Value, up: Value): Value { return this.#tape.apply('swiglu', [gate, up], {})[0] }

  lastRows (x: Value): Value { return this.#tape.apply('gatherRows', [x], { rows: this.#plan.rows })[0] }

  weight (name: string): Value { return this.#b.external(name, this.#options.weights(name)) }
}

/**
 * Forward and backward pass of one batch as ONNX bytes; weights stay in their safetensors file.
 *
 * | tensor            | type, shape | |
 * |-------------------|-------------|-|
 * | `prompt`          | f32 [P, hidden], or [P, layers·2·kvHeads·headSize] for prefix tuning (part 2l keys, 2l+1 values of layer l) | input |
 * | `label_matrix`    | f32 [C, hidden] | input, objective `labels` |
 * | the batch plan    | see `batch-plan.ts` | input |
 * | `loss`            | f32 scalar: Σ weight · -log p(label) | output |
 * | `label_logits`    | f32 [N, C] | output, objective `labels` |
 * | `prompt_gradient` | as `prompt` | output with `gradients` |
 * | `label_gradient`  | as `label_matrix` | output with `gradients`, objective `labels` |
 */
export function trainingGraph (options: TrainingGraphOptions): Uint8Array {
  const { config, method, numVirtualTokens, objective, gradients, lossChunk = DEFAULT_LOSS_CHUNK } = options
  const b = new GraphBuilder(`train_${method}_${objective}`)
  const tape = new Tape(b)
  const kvWidth = config.numKvHeads * config.headSize
  const prefixTuning = method === 'prefix-tuning'

  const prompt = tape.parameter('prompt', [numVirtualTokens, prefixTuning ? config.numLayers * 2 * kvWidth : config.hiddenSize], gradients)
  const plan = planInputs(b, { ...options, rows: objective === 'tokens' ? product(lossChunk, 'chunks') : 'N' })
  const parts = prefixTuning ? tape.apply('splitColumns', [prompt], { parts: 2 * config.numLayers }) : []
  const prefixes = Array.from({ length: parts.length / 2 }, (_, layer) => ({ key: parts[2 * layer]!, value: parts[2 * layer + 1]! }))
  const ops = new DifferentiableLlama(b, tape, options, plan, prefixes)

  const tokens = b.gather(ops.weight(EMBEDDING), plan.ids)
  const stream = prefixTuning ? tokens : tape.apply('concatRows', [prompt, tokens], { rows: 'T' })[0]
  const hidden = llamaHidden(ops, config, stream)

  const { labels, weight } = plan
  if (objective === 'tokens') {
    const [loss] = tape.apply('tokenLoss', [hidden], { table: ops.weight(headName(config)), labels, weight, chunk: lossChunk })
    b.output(loss, 'loss')
    if (gradients) b.output(tape.gradients(new Map([[loss, b.scalar(1)]]), [prompt])[0]!, 'prompt_gradient')
  } else {
    const labelMatrix = tape.parameter('label_matrix', ['C', config.hiddenSize], gradients)
    const [loss, logits] = tape.apply('labelLoss', [hidden, labelMatrix], { labels, weight })
    b.output(loss, 'loss')
    b.output(logits, 'label_logits')
    if (gradients) {
      const [promptGradient, labelGradient] = tape.gradients(new Map([[loss, b.scalar(1)]]), [prompt, labelMatrix])
      b.output(promptGradient!, 'prompt_gradient')
      b.output(labelGradient!, 'label_gradient')
    }
  }
  return onnxBytes(b.finish())
}
