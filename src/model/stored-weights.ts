/** The float32 weights of a base on disk: one safetensors file that training and the float32 serving graph map. */
import { createHash } from 'node:crypto'
import { open } from 'node:fs/promises'
import { join } from 'node:path'
import { setImmediate } from 'node:timers/promises'
import type { Digest } from '../digest.js'
import { PAGE_BYTES } from './aligned-file.js'
import { BASE_FILES } from './base.js'
import type { PlainWeights } from './frozen-weights.js'
import type { LlamaConfig } from './llama-config.js'
import { llamaTensors } from './llama-tensors.js'
import { float32Header } from './safetensors-writer.js'
import type { WeightSource } from './weight-source.js'

/** Copies every tensor of `source` into `folder`, one at a time. `progress` gets bytes. */
export async function storeWeights (source: WeightSource, folder: string, progress: (done: number, total: number) => void): Promise<Digest> {
  const tensors = [...llamaTensors(source.config)]
  const { header, offsets, fileBytes } = float32Header(tensors, { metadata: { format: 'pt' }, alignment: PAGE_BYTES })
  const hash = createHash('sha256')
  const file = await open(join(folder, BASE_FILES.weights), 'wx')
  try {
    const write = async (bytes: Uint8Array): Promise<void> => {
      hash.update(bytes)
      await file.writeFile(bytes)
    }
    await write(header)
    for (const { name } of tensors) {
      const values = source.read(name)
      await write(new Uint8Array(values.buffer, values.byteOffset, values.byteLength))
      progress(offsets.get(name)! + values.byteLength, fileBytes)
      await setImmediate()
    }
  } finally {
    await file.close()
  }
  return `sha256:${hash.digest('hex')}`
}

/** Where each tensor of the stored file lies; follows from the configuration alone. */
export function storedWeights (config: LlamaConfig): PlainWeights {
  const tensors = [...llamaTensors(config)]
  const { offsets } = float32Header(tensors, { metadata: { format: 'pt' }, alignment: PAGE_BYTES })
  const shapes = new Map(tensors.map(({ name, shape }) => [name, shape]))
  return name => {
    const offset = offsets.get(name)
    const dims = shapes.get(name)
    if (offset === undefined || dims === undefined) throw new Error(`internal: this base has no tensor ${name}`)
    return { dtype: 'float32', dims, file: BASE_FILES.weights, offset, bytes: dims.reduce((product, dim) => product * dim, 4) }
  }
}
