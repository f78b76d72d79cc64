/** The loop's `TrainingModel` on ONNX Runtime: one graph with gradients, one without for evaluation. */
import { accuracy } from '../src/metrics/accuracy.js'
import { confusionMatrix } from '../src/metrics/confusion-matrix.js'
import { macroF1 } from '../src/metrics/macro-f1.js'
import { batchPlan, type Feed, type PromptPlacement } from '../src/model/batch-plan.js'
import { trainingGraph } from '../src/model/families/llama-training.js'
import type { LlamaConfig } from '../src/model/llama-config.js'
import { promptColumns } from '../src/prompt/peft.js'
import type { BaseWeights } from './base-weights.js'
import { type MicroBatch, microBatches } from './batches.js'
import type { Example } from './example.js'
import { GraphSession } from './graph-session.js'
import type { ParameterValues } from './parameter.js'
import type { Metrics, TrainingModel } from './training-model.js'

export interface OnnxTrainingModelOptions extends PromptPlacement {
  readonly config: LlamaConfig
  readonly weights: BaseWeights
  /** What a label's score is the product with, [labels, hidden]: `trained` makes it the second parameter. Null: generation. */
  readonly labelMatrix: { readonly rows: number, readonly fixed: Float32Array | null } | null
  readonly validation: readonly Example[]
  /** Tokens of the longest row of all. */
  readonly longest: number
  readonly microBatchTokens: number
  readonly threads: number
}

export class OnnxTrainingModel implements TrainingModel {
  readonly #options: OnnxTrainingModelOptions
  readonly #training: GraphSession
  readonly #forward: GraphSession

  private constructor (options: OnnxTrainingModelOptions, training: GraphSession, forward: GraphSession) {
    this.#options = options
    this.#training = training
    this.#forward = forward
  }

  static async open (options: OnnxTrainingModelOptions): Promise<OnnxTrainingModel> {
    const { method, numVirtualTokens, config, weights, threads } = options
    const graph = (gradients: boolean): Uint8Array => trainingGraph({
      method, numVirtualTokens, config, weights: weights.plain, gradients,
      objective: options.labelMatrix === null ? 'tokens' : 'labels',
      maxPositions: maxPositions(options)
    })
    const training = await GraphSession.open(graph(true), weights.folder, threads)
    try {
      return new OnnxTrainingModel(options, training, await GraphSession.open(graph(false), weights.folder, threads))
    } catch (error) {
      await training.close()
      throw error
    }
  }

  async lossAndGradients (parameters: ParameterValues, batch: MicroBatch, signal: AbortSignal): Promise<{ loss: number, gradients: Float32Array[] }> {
    const outputs = await this.#training.run(this.#feeds(parameters, batch), signal)
    const gradients = [outputs['prompt_gradient']!]
    if (parameters.length > 1) gradients.push(outputs['label_gradient']!)
    return { loss: outputs['loss']![0]!, gradients }
  }

  async evaluate (parameters: ParameterValues, signal: AbortSignal): Promise<Metrics> {
    const predicted: number[] = []
    const expected: number[] = []
    let loss = 0
    for (const part of microBatches(this.#options.validation, this.#options.microBatchTokens)) {
      const outputs = await this.#forward.run(this.#feeds(parameters, part), signal)
      loss += outputs['loss']![0]!
      if (this.#options.labelMatrix === null) continue
      predicted.push(...largestByRow(outputs['label_logits']!, this.#options.labelMatrix.rows))
      expected.push(...part.examples.map(example => example.label!))
    }
    if (this.#options.labelMatrix === null) return { loss }
    const labels = [...Array.from({ length: this.#options.labelMatrix.rows }).keys()]
    return { loss, accuracy: accuracy(predicted, expected), macro_f1: macroF1(confusionMatrix(labels, predicted, expected)) }
  }

  async close (): Promise<void> {
    await this.#training.close()
    await this.#forward.close()
  }

  #feeds (parameters: ParameterValues, { examples, totalPredictions }: MicroBatch): Record<string, Feed> {
    const { method, numVirtualTokens, config, labelMatrix } = this.#options
    const shared = { method, numVirtualTokens, config, maxPositions: maxPositions(this.#options), totalLabels: totalPredictions }
    const prompt: Feed = { type: 'float32', data: parameters[0]!, dims: [numVirtualTokens, promptColumns(method, config)] }
    if (labelMatrix === null) {
      const plan = batchPlan({ ...shared, objective: 'tokens', examples: examples.map(({ ids, targetStart }) => ({ ids, labels: ids.map((id, i) => i < targetStart ? -1 : id) })) })
      return { ...plan.feeds, prompt }
    }
    const data = parameters[1] ?? labelMatrix.fixed
    if (data === null) throw new Error('internal: neither trained nor fixed label rows')
    const plan = batchPlan({ ...shared, objective: 'labels', numLabels: labelMatrix.rows, examples: examples.map(({ ids, label }) => ({ ids, label: label! })) })
    return { ...plan.feeds, prompt, label_matrix: { type: 'float32', data, dims: [labelMatrix.rows, config.hiddenSize] } }
  }
}

function maxPositions ({ numVirtualTokens, longest }: OnnxTrainingModelOptions): number {
  return numVirtualTokens + longest
}

/** Column of the largest entry of each row; the first of equals. */
function largestByRow (matrix: Float32Array, columns: number): number[] {
  return Array.from({ length: matrix.length / columns }, (_, row) => {
    let best = 0
    for (let column = 1; column < columns; column++) {
      if (matrix[row * columns + column]! > matrix[row * columns + best]!) best = column
    }
    return best
  })
}
