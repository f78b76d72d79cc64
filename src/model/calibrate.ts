import { availableParallelism } from 'node:os'
import { calibrationGraph } from './families/llama-text.js'
import type { LlamaConfig } from './llama-config.js'
import { trainingSessionOptions } from './session-options.js'
import { storedWeights } from './stored-weights.js'

// The text has some 300 tokens; a tiny vocabulary needs more for it than one run should take.
const MAX_TOKENS = 1024

/** Absolute maximum of each input channel of every layer's down projection over the calibration tokens, by the stored weights in `folder`. */
export async function downInputMaxima (config: LlamaConfig, folder: string, ids: readonly number[]): Promise<readonly Float32Array[]> {
  const tokens = ids.slice(0, Math.min(MAX_TOKENS, config.contextLength))
  // Loaded here alone: an import is the only place where a process that serves no model needs the runtime.
  const { InferenceSession, Tensor } = (await import('onnxruntime-node')).default
  const graph = calibrationGraph({ config, weights: storedWeights(config), maxPositions: tokens.length })
  const session = await InferenceSession.create(graph, trainingSessionOptions(folder, availableParallelism()))
  try {
    const outputs = await session.run({ ids: new Tensor('int64', BigInt64Array.from(tokens, BigInt), [tokens.length]) })
    return Array.from({ length: config.numLayers }, (_, layer) => outputs[`down_input_max_${layer}`]!.data as Float32Array)
  } finally {
    await session.release()
  }
}
