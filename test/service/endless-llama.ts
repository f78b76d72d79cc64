import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { HEAD } from '../../src/model/llama-tensors.js'
import { SafetensorsFile } from '../../src/model/safetensors-file.js'
import { encodeSafetensors } from '../../src/model/safetensors-writer.js'
import { TINY_END_TOKEN, type TinyLlamaOptions, writeTinyLlama } from '../support/tiny-llama.js'

/** The tiny Llama without a wish to end: the end token's logit stays near zero, so a greedy answer is as long as asked for. */
export function writeEndlessLlama (folder: string, options: TinyLlamaOptions = {}): void {
  writeTinyLlama(folder, options)
  const path = join(folder, 'model.safetensors')
  const file = new SafetensorsFile(path)
  const tensors = new Map([...file.header.tensors].map(([name, { shape }]) => [name, { shape, values: file.read(name) }]))
  file.close()
  const head = tensors.get(HEAD)!
  const width = head.shape[1]!
  head.values.subarray(TINY_END_TOKEN * width, (TINY_END_TOKEN + 1) * width).forEach((_, i, row) => { row[i]! *= 1e-3 })
  writeFileSync(path, encodeSafetensors(tensors))
}
