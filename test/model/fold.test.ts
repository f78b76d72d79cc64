import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { servingGraph } from '../../src/model/families/llama-serving.js'
import { linearName } from '../../src/model/families/llama.js'
import { foldedEmbedding, foldedHead, foldedLayer } from '../../src/model/fold.js'
import type { PlainSource } from '../../src/model/fold.js'
import type { PlainWeights } from '../../src/model/frozen-weights.js'
import type { LlamaConfig } from '../../src/model/llama-config.js'
import { llamaTensors } from '../../src/model/llama-tensors.js'
import { rotateRows, rotationPlan } from '../../src/model/rotate.js'
import type { RotationPlan } from '../../src/model/rotate.js'
import { encodeSafetensors, float32Header } from '../../src/model/safetensors-writer.js'
import { maxDifference, seededNumbers } from '../support/numbers.js'
import { openSession } from '../support/ort.js'
import { Slots } from '../support/slots.js'
import { readTensors, tinyLlama } from '../support/tiny-llama.js'

function transposed (matrix: Float32Array, rows: number): Float32Array {
  const columns = matrix.length / rows
  return Float32Array.from(matrix, (_, at) => matrix[at % rows * columns + Math.floor(at / rows)]!)
}

/** The folded base as an ordinary Llama: gains of 1, a head of its own. */
function foldedTensors (source: PlainSource, plan: RotationPlan, maxima: readonly Float32Array[]): Map<string, Float32Array> {
  const { hiddenSize, numHeads, numKvHeads, headSize, intermediateSize, numLayers } = source.config
  const ones = new Float32Array(hiddenSize).fill(1)
  const tensors = new Map([['model.embed_tokens.weight', foldedEmbedding(source, plan)], ['model.norm.weight', ones], ['lm_head.weight', foldedHead(source, plan)]])
  for (let layer = 0; layer < numLayers; layer++) {
    const folded = foldedLayer(source, plan, layer, maxima[layer]!)
    const [queries, keys] = [numHeads * headSize * hiddenSize, numKvHeads * headSize * hiddenSize]
    const parts: Record<string, Float32Array> = {
      input_layernorm: ones,
      post_attention_layernorm: ones,
      'self_attn.q_proj': folded.qkv.subarray(0, queries),
      'self_attn.k_proj': folded.qkv.subarray(queries, queries + keys),
      'self_attn.v_proj': folded.qkv.subarray(queries + keys),
      'self_attn.o_proj': transposed(folded.output, numHeads * headSize),
      'mlp.gate_proj': folded.gateUp.subarray(0, intermediateSize * hiddenSize),
      'mlp.up_proj': folded.gateUp.subarray(intermediateSize * hiddenSize),
      'mlp.down_proj': transposed(folded.down, intermediateSize)
    }
    for (const [part, values] of Object.entries(parts)) tensors.set(linearName(layer, part), values)
  }
  return tensors
}

/** Writes tensors as the external data of a float32 graph. */
function storeFolded (folder: string, config: LlamaConfig, values: ReadonlyMap<string, Float32Array>): PlainWeights {
  const tensors = [...llamaTensors(config)]
  writeFileSync(join(folder, 'folded.safetensors'), encodeSafetensors(new Map(tensors.map(({ name, shape }) => [name, { shape, values: values.get(name)! }]))))
  const { offsets } = float32Header(tensors)
  return name => {
    const dims = tensors.find(tensor => tensor.name === name)!.shape
    return { dtype: 'float32', dims, file: 'folded.safetensors', offset: offsets.get(name)!, bytes: dims.reduce((all, dim) => all * dim, 4) }
  }
}

for (const [hiddenSize, tiedEmbeddings] of [[72, true], [64, false]] as const) {
  test(`a folded base of width ${hiddenSize}${tiedEmbeddings ? ', tied,' : ''} computes the same logits, and takes rotated soft prompts`, async () => {
    const base = tinyLlama({ hiddenSize, tiedEmbeddings, seed: 5 })
    const folder = mkdtempSync(join(tmpdir(), 'permafrost-fold-'))
    try {
      const { config } = base
      const plain = readTensors(join(base.folder, 'model.safetensors'))
      const plan = rotationPlan(hiddenSize, 9)
      const random = seededNumbers(3)
      const maxima = Array.from({ length: config.numLayers }, () => Float32Array.from({ length: config.intermediateSize }, () => Math.abs(random()) * 3))
      const foldedConfig = { ...config, tiedEmbeddings: false }
      // A copy, as a read from a file is.
      const values = foldedTensors({ config, read: name => plain.get(name)!.slice() }, plan, maxima)
      const softTable = Float32Array.from({ length: 3 * hiddenSize }, random)
      const V = config.vocabSize
      const ids = [[V, V + 1, V + 2, 5, 17, 99, 200, 300, 5, 17]]

      const logits = async (graph: Uint8Array, data: string, table: Float32Array): Promise<Float32Array> => {
        const session = await openSession(graph, data)
        try {
          return (await new Slots(session, config, { slots: 1, positions: 10 }).run({ ids, lengths: [10], softTable: table })).logits
        } finally {
          await session.release()
        }
      }
      const shared = { attention: 'fused', maxPositions: 16, format: 'float32' } as const
      const expected = await logits(servingGraph({ ...shared, config, weights: base.weights }), base.folder, softTable)
      const folded = await logits(servingGraph({ ...shared, config: foldedConfig, weights: storeFolded(folder, foldedConfig, values) }), folder, rotateRows(softTable, hiddenSize, plan))
      const difference = maxDifference(folded, expected)
      assert.ok(difference <= 1e-4, `logits differ by ${difference}`)
      const unrotated = await logits(servingGraph({ ...shared, config: foldedConfig, weights: storeFolded(folder, foldedConfig, values) }), folder, softTable)
      assert.ok(maxDifference(unrotated, expected) > 0.1, 'a soft prompt that was not rotated must give other logits')
    } finally {
      rmSync(folder, { recursive: true })
      base.dispose()
    }
  })
}
