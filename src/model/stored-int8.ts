import { join } from 'node:path'
import { setImmediate } from 'node:timers/promises'
import type { Digest } from '../digest.js'
import { AlignedFile } from './aligned-file.js'
import { BASE_FILES } from './base.js'
import { foldedEmbedding, foldedHead, foldedLayer } from './fold.js'
import type { PlainSource } from './fold.js'
import type { QuantisedLinear, QuantisedWeights } from './frozen-weights.js'
import { quantiseColumns, quantiseRows } from './quantise.js'
import type { Int8Matrix } from './quantise.js'
import type { RotationPlan } from './rotate.js'

/** Writes the external data of the W8A8 graph into `folder`. `progress` gets layers. */
export async function storeInt8 (source: PlainSource, plan: RotationPlan, downInputMaxima: readonly Float32Array[], folder: string, progress: (done: number, total: number) => void): Promise<{ weights: QuantisedWeights, digest: Digest }> {
  const { config } = source
  const { hiddenSize, numLayers, vocabSize } = config
  const file = await AlignedFile.create(join(folder, BASE_FILES.w8a8Data))
  const linear = async ({ values, scale }: Int8Matrix): Promise<QuantisedLinear> => ({
    values: await file.add(values, [values.length / scale.length, scale.length]),
    scale: await file.add(scale, [scale.length])
  })
  let digest: Digest | null = null
  try {
    const embedding = await file.add(foldedEmbedding(source, plan), [vocabSize, hiddenSize])
    const layers: Array<QuantisedWeights['layers'][number]> = []
    for (let layer = 0; layer < numLayers; layer++) {
      const { qkv, output, gateUp, down } = foldedLayer(source, plan, layer, downInputMaxima[layer]!)
      layers.push({
        qkv: await linear(quantiseRows(qkv, qkv.length / hiddenSize)),
        output: await linear(quantiseColumns(output, hiddenSize)),
        gateUp: await linear(quantiseRows(gateUp, gateUp.length / hiddenSize)),
        down: await linear(quantiseColumns(down, hiddenSize))
      })
      progress(layer + 1, numLayers + 1)
      await setImmediate()
    }
    const head = await linear(quantiseRows(foldedHead(source, plan), vocabSize))
    progress(numLayers + 1, numLayers + 1)
    return { weights: { embedding, layers, head }, digest: digest = await file.close() }
  } finally {
    if (digest === null) await file.close()
  }
}
