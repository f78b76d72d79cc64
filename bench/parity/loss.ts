/** Losses and gradients of rows of tokens through the training graph of a base. */
import { batchPlan, countLabels, type PromptPlacement, type TokenExample } from '../../src/model/batch-plan.js'
import { trainingGraph } from '../../src/model/families/llama-training.js'
import type { LlamaConfig } from '../../src/model/llama-config.js'
import { EMBEDDING } from '../../src/model/llama-tensors.js'
import { promptColumns } from '../../src/prompt/peft.js'
import { BaseWeights } from '../../workers/base-weights.js'
import { GraphSession } from '../../workers/graph-session.js'

export interface PaddedBatch {
  readonly input_ids: ReadonlyArray<readonly number[]>
  readonly attention_mask?: ReadonlyArray<readonly number[]>
  readonly labels: ReadonlyArray<readonly number[]>
}

const THREADS = 1
const never = new AbortController().signal

/** Rows without their padding. */
export function examplesOf ({ input_ids: rows, attention_mask: mask, labels }: PaddedBatch): TokenExample[] {
  return rows.map((ids, row) => {
    const real = (_: number, i: number): boolean => mask === undefined || mask[row]![i] === 1
    return { ids: ids.filter(real), labels: labels[row]!.filter(real) }
  })
}

export class LossModel {
  readonly #placement: PromptPlacement
  readonly #config: LlamaConfig
  readonly #maxPositions: number
  readonly #training: GraphSession
  readonly #forward: GraphSession

  private constructor (placement: PromptPlacement, config: LlamaConfig, maxPositions: number, training: GraphSession, forward: GraphSession) {
    this.#placement = placement
    this.#config = config
    this.#maxPositions = maxPositions
    this.#training = training
    this.#forward = forward
  }

  /** @param longest tokens of the longest row */
  static async open (placement: PromptPlacement, config: LlamaConfig, weights: BaseWeights, longest: number): Promise<LossModel> {
    const maxPositions = placement.numVirtualTokens + longest
    const open = (gradients: boolean): Promise<GraphSession> => GraphSession.open(trainingGraph({ ...placement, config, weights: weights.plain, objective: 'tokens', gradients, maxPositions }), weights.folder, THREADS)
    return new LossModel(placement, config, maxPositions, await open(true), await open(false))
  }

  /** Labels that count in these rows. */
  labels (examples: readonly TokenExample[]): number {
    return countLabels(this.#placement.method, examples)
  }

  /** Of rows that are part of a step with `totalLabels` labels; by default they are the step. */
  async lossAndGradient (prompt: Float32Array, examples: readonly TokenExample[], totalLabels = this.labels(examples)): Promise<{ loss: number, gradient: Float32Array }> {
    const { loss, prompt_gradient: gradient } = await this.#training.run(this.#feeds(prompt, examples, totalLabels), never)
    return { loss: loss![0]!, gradient: gradient! }
  }

  /** The graph that evaluates, without gradients. */
  async loss (prompt: Float32Array, examples: readonly TokenExample[], totalLabels = this.labels(examples)): Promise<number> {
    const { loss } = await this.#forward.run(this.#feeds(prompt, examples, totalLabels), never)
    return loss![0]!
  }

  #feeds (prompt: Float32Array, examples: readonly TokenExample[], totalLabels: number) {
    const { method, numVirtualTokens } = this.#placement
    const plan = batchPlan({ ...this.#placement, config: this.#config, objective: 'tokens', examples, totalLabels, maxPositions: this.#maxPositions })
    return { ...plan.feeds, prompt: { type: 'float32', data: prompt, dims: [numVirtualTokens, promptColumns(method, this.#config)] } as const }
  }

  async close (): Promise<void> {
    await this.#training.close()
    await this.#forward.close()
  }
}

/**
 * Mean loss of texts without a prompt: the embedding of a text's first token is given as its one virtual token, which
 * is the same computation. Null without a label behind a first token.
 */
export async function plainLoss (config: LlamaConfig, weights: BaseWeights, examples: readonly TokenExample[]): Promise<number | null> {
  const behindFirst = examples.map(({ ids, labels }) => ({ first: ids[0]!, rest: { ids: ids.slice(1), labels: labels.slice(1) } })).filter(({ rest }) => rest.labels.some(label => label >= 0))
  if (behindFirst.length === 0) return null
  const model = await LossModel.open({ method: 'prompt-tuning', numVirtualTokens: 1 }, config, weights, Math.max(...behindFirst.map(({ rest }) => rest.ids.length)))
  try {
    const total = model.labels(behindFirst.map(({ rest }) => rest))
    let loss = 0
    for (const { first, rest } of behindFirst) loss += await model.loss(weights.rows(EMBEDDING, [first]), [rest], total)
    return loss
  } finally {
    await model.close()
  }
}
