import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { ExternalTensor } from '../../src/graph/external.js'
import type { QuantisedLinear, QuantisedWeights } from '../../src/model/frozen-weights.js'
import { EMBEDDING } from '../../src/model/llama-tensors.js'
import { headName, LINEAR_GROUPS, linearName } from '../../src/model/families/llama.js'
import { readTensors, type PlainBase } from './tiny-llama.js'

/** W8A8 weights without rotation or smoothing, in `plain-w8a8.data` of the base's folder: enough to test the graph. */
export function quantisePlainly ({ folder, config }: PlainBase): QuantisedWeights {
  const FILE = 'plain-w8a8.data'
  const tensors = readTensors(join(folder, 'model.safetensors'))
  const parts: Uint8Array[] = []
  let offset = 0
  const store = (dtype: ExternalTensor['dtype'], dims: readonly number[], data: Float32Array | Int8Array): ExternalTensor => {
    const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength)
    const padding = -offset & 4095
    parts.push(new Uint8Array(padding), bytes)
    offset += padding + bytes.byteLength
    return { dtype, dims, file: FILE, offset: offset - bytes.byteLength, bytes: bytes.byteLength }
  }
  /** Rows [out, in] of several matrices, times the gain of the norm that they read. */
  const linear = (names: readonly string[], gain: Float32Array | null, width: number): QuantisedLinear => {
    const rows = names.flatMap(name => {
      const matrix = tensors.get(name)!
      return Array.from({ length: matrix.length / width }, (_, i) => matrix.slice(i * width, (i + 1) * width).map((x, j) => x * (gain?.[j] ?? 1)))
    })
    const scale = Float32Array.from(rows, row => Math.max(...row.map(Math.abs)) / 127)
    const values = new Int8Array(rows.length * width)
    for (const [n, row] of rows.entries()) for (const [k, x] of row.entries()) values[k * rows.length + n] = Math.round(x / scale[n]!)
    return { values: store('int8', [width, rows.length], values), scale: store('float32', [rows.length], scale) }
  }
  const { hiddenSize, numHeads, headSize, intermediateSize } = config
  const layers = Array.from({ length: config.numLayers }, (_, layer) => {
    const names = (group: keyof typeof LINEAR_GROUPS): string[] => LINEAR_GROUPS[group].map(name => linearName(layer, name))
    const gain = (norm: string): Float32Array => tensors.get(linearName(layer, norm))!
    return {
      qkv: linear(names('qkv'), gain('input_layernorm'), hiddenSize),
      output: linear(names('output'), null, numHeads * headSize),
      gateUp: linear(names('gateUp'), gain('post_attention_layernorm'), hiddenSize),
      down: linear(names('down'), null, intermediateSize)
    }
  })
  const embedding = store('float32', [config.vocabSize, hiddenSize], tensors.get(EMBEDDING)!)
  const head = linear([headName(config)], tensors.get('model.norm.weight')!, hiddenSize)
  writeFileSync(join(folder, FILE), Buffer.concat(parts))
  return { embedding, layers, head }
}
