import { copyFileSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import type { PlainWeights } from '../../src/model/frozen-weights.js'
import { openHfLlama } from '../../src/model/hf-folder.js'
import type { LlamaConfig } from '../../src/model/llama-config.js'
import { llamaTensors } from '../../src/model/llama-tensors.js'
import { SafetensorsFile } from '../../src/model/safetensors-file.js'
import { encodeSafetensors } from '../../src/model/safetensors-writer.js'
import { PROJECT_ROOT } from '../../src/project.js'
import { seededNumbers } from './numbers.js'

/** A base in plain float32: `weights` point into `model.safetensors` in `folder`. */
export interface PlainBase {
  readonly folder: string
  readonly config: LlamaConfig
  readonly weights: PlainWeights
  /** Removes the folder. */
  dispose (): void
}

export interface TinyLlamaOptions {
  readonly seed?: number
  readonly numLayers?: number
  readonly numHeads?: number
  readonly numKvHeads?: number
  readonly headSize?: number
  readonly hiddenSize?: number
  readonly intermediateSize?: number
  readonly contextLength?: number
  readonly tiedEmbeddings?: boolean
}

/** Of the fixtures' tokenizer, which is copied beside the weights. */
export const TINY_VOCABULARY = 344
const TOKENIZER_FILES = ['tokenizer.json', 'tokenizer_config.json']
/** Of the tokenizer: `<s>` and `</s>`. */
const BOS = 341
export const TINY_END_TOKEN = 342

/** Writes a random Llama in Hugging Face form into `folder`: config.json, model.safetensors (float32), the tokenizer. */
export function writeTinyLlama (folder: string, options: TinyLlamaOptions = {}): void {
  const { seed = 1, numLayers = 2, numHeads = 4, numKvHeads = 2, headSize = 16, hiddenSize = 64, intermediateSize = 96, contextLength = 256, tiedEmbeddings = false } = options
  writeFileSync(join(folder, 'config.json'), JSON.stringify({
    architectures: ['LlamaForCausalLM'], model_type: 'llama', hidden_act: 'silu', attention_bias: false, mlp_bias: false, torch_dtype: 'float32',
    vocab_size: TINY_VOCABULARY, hidden_size: hiddenSize, num_hidden_layers: numLayers, num_attention_heads: numHeads, num_key_value_heads: numKvHeads,
    head_dim: headSize, intermediate_size: intermediateSize, max_position_embeddings: contextLength, rms_norm_eps: 1e-5, rope_theta: 10000, rope_scaling: null,
    tie_word_embeddings: tiedEmbeddings, bos_token_id: BOS, eos_token_id: TINY_END_TOKEN
  }))
  const random = seededNumbers(seed)
  // Scaled so that rows keep their size through a layer, and logits differ clearly.
  const values = (name: string, shape: readonly number[]): Float32Array => {
    const scale = shape.length === 1 ? 0.3 : name.includes('embed_tokens') ? 1 : 1.7 / Math.sqrt(shape[1]!)
    const offset = shape.length === 1 ? 1 : 0
    return Float32Array.from({ length: shape.reduce((all, dim) => all * dim, 1) }, () => offset + scale * random())
  }
  const config = { numLayers, numHeads, numKvHeads, headSize, hiddenSize, intermediateSize, tiedEmbeddings, vocabSize: TINY_VOCABULARY } as LlamaConfig
  const tensors = new Map([...llamaTensors(config)].map(({ name, shape }) => [name, { shape, values: values(name, shape) }]))
  writeFileSync(join(folder, 'model.safetensors'), encodeSafetensors(tensors))
  for (const file of TOKENIZER_FILES) copyFileSync(join(PROJECT_ROOT, 'test', 'support', file), join(folder, file))
}

/** A seeded random Llama in a temporary folder. */
export function tinyLlama (options: TinyLlamaOptions = {}): PlainBase {
  const folder = mkdtempSync(join(tmpdir(), 'permafrost-tiny-'))
  writeTinyLlama(folder, options)
  return { ...plainBase(join(folder, 'model.safetensors'), openConfig(folder)), dispose: () => rmSync(folder, { recursive: true }) }
}

/** Any Hugging Face Llama (sharded, half precision) as plain float32, written into a temporary folder. */
export function float32Copy (modelFolder: string): PlainBase {
  const source = openHfLlama(modelFolder)
  const folder = mkdtempSync(join(tmpdir(), 'permafrost-float32-'))
  try {
    const tensors = new Map([...llamaTensors(source.config)].map(({ name, shape }) => [name, { shape, values: source.read(name) }]))
    writeFileSync(join(folder, 'model.safetensors'), encodeSafetensors(tensors))
    return { ...plainBase(join(folder, 'model.safetensors'), source.config), dispose: () => rmSync(folder, { recursive: true }) }
  } finally {
    source.close()
  }
}

/** Tensors of a safetensors file. */
export function readTensors (path: string): Map<string, Float32Array> {
  const file = new SafetensorsFile(path)
  try {
    return new Map([...file.header.tensors.keys()].map(name => [name, file.read(name)]))
  } finally {
    file.close()
  }
}

function openConfig (folder: string): LlamaConfig {
  const source = openHfLlama(folder)
  source.close()
  return source.config
}

function plainBase (path: string, config: LlamaConfig): Omit<PlainBase, 'dispose'> {
  const file = new SafetensorsFile(path)
  const { tensors } = file.header
  file.close()
  const weights: PlainWeights = name => {
    const entry = tensors.get(name)
    if (entry === undefined) throw new Error(`no tensor ${name}`)
    return { dtype: 'float32', dims: entry.shape, file: 'model.safetensors', offset: entry.offset, bytes: entry.bytes }
  }
  return { folder: dirname(path), config, weights }
}
