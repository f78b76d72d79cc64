/** PEFT's adapter folders (0.21): PROMPT_TUNING and flat PREFIX_TUNING of a causal LM, read and described. */
import { MalformedModelError, ServiceError } from '../errors.js'
import { integerAt, objectAt, quoted, textAt, type JsonObject } from '../model/json-shape.js'
import type { LlamaConfig } from '../model/llama-config.js'
import { ARTIFACT_FILES, type ArtifactFiles } from './artifact.js'
import { jsonFile, tensorFile } from './artifact-reading.js'
import type { Method } from './methods.js'

/** The dimensions of a base that a prompt must fit. */
export type PromptShape = Pick<LlamaConfig, 'hiddenSize' | 'numLayers' | 'numKvHeads' | 'headSize'>

export interface PeftAdapter {
  readonly method: Method
  readonly numVirtualTokens: number
  /** Row-major [numVirtualTokens, promptColumns(method, base)]. */
  readonly embeddings: Float32Array
}

const METHOD_OF: ReadonlyMap<string, Method> = new Map([['PROMPT_TUNING', 'prompt-tuning'], ['PREFIX_TUNING', 'prefix-tuning']])
const PEFT_TYPE_OF: Readonly<Record<Method, string>> = { 'prompt-tuning': 'PROMPT_TUNING', 'prefix-tuning': 'PREFIX_TUNING' }
const KNOWN_PEFT_TYPES = [
  'P_TUNING', 'LORA', 'ADALORA', 'IA3', 'LOHA', 'LOKR', 'OFT', 'BOFT', 'POLY', 'LN_TUNING', 'VERA', 'FOURIERFT', 'XLORA', 'HRA', 'VBLORA', 'MULTITASK_PROMPT_TUNING', 'ADAPTION_PROMPT', 'CPT'
]
export const PROMPT_TENSOR = 'prompt_embeddings'

/** Columns of `prompt_embeddings`: a vector for each virtual token, or its keys and values in every layer. */
export function promptColumns (method: Method, { hiddenSize, numLayers, numKvHeads, headSize }: PromptShape): number {
  return method === 'prompt-tuning' ? hiddenSize : 2 * numLayers * numKvHeads * headSize
}

/**
 * @param files at least `adapter_config.json` and `adapter_model.safetensors`; half precision is widened
 * @throws ServiceError malformed_artifact naming the field or tensor; not_finite
 */
export function readPeftAdapter (files: ArtifactFiles, base: PromptShape): PeftAdapter {
  const config = jsonFile(files, ARTIFACT_FILES.adapterConfig)
  const { method, numVirtualTokens } = describe(config, base)
  if (!files.has(ARTIFACT_FILES.adapter) && [...files.keys()].some(name => /\.(bin|pt|pth|pkl|ckpt)$/.test(name))) {
    throw new ServiceError('malformed_artifact', 'only a pickle adapter (adapter_model.bin) is present; convert it to safetensors', { param: 'adapter_model.bin' })
  }
  const embeddings = tensorFile(files, ARTIFACT_FILES.adapter, PROMPT_TENSOR, ([rows, columns]) => {
    const expected = promptColumns(method, base)
    if (columns !== expected) {
      return `has ${columns} columns; ${method === 'prompt-tuning' ? `the base model's hidden size is ${expected}` : `${base.numLayers} layers * 2 * ${base.numKvHeads * base.headSize} = ${expected} are needed`}`
    }
    return rows === numVirtualTokens ? null : `has ${rows} rows, num_virtual_tokens is ${numVirtualTokens}`
  })
  return { method, numVirtualTokens, embeddings }
}

function describe (config: JsonObject, base: PromptShape): { method: Method, numVirtualTokens: number } {
  try {
    return checkConfig(config, base)
  } catch (error) {
    if (error instanceof MalformedModelError) throw new ServiceError('malformed_artifact', error.message, { param: ARTIFACT_FILES.adapterConfig })
    throw error
  }
}

function checkConfig (config: JsonObject, base: PromptShape): { method: Method, numVirtualTokens: number } {
  const method = methodOf(config)
  const task = config['task_type']
  if (task !== undefined && task !== null && task !== 'CAUSAL_LM') throw new MalformedModelError(`the adapter is for ${quoted(String(task))} but the base model is decoder-only (CAUSAL_LM)`)
  const numVirtualTokens = integerAt(config['num_virtual_tokens'], 'num_virtual_tokens', 0, 2 ** 31 - 1)
  if (numVirtualTokens < 1) throw new MalformedModelError('num_virtual_tokens must be at least 1, found 0')
  // PEFT fills absent dimensions in from the base.
  const dimension = (name: string): number | null => config[name] === undefined || config[name] === null ? null : integerAt(config[name], name, 1, 2 ** 31 - 1)
  const agrees = (name: string, expected: number, what: string): void => {
    const value = dimension(name)
    if (value !== null && value !== expected) throw new MalformedModelError(`the adapter's ${name} is ${value} but the base model's ${what} is ${expected}`)
  }
  agrees('num_transformer_submodules', 1, 'number of stacks')
  if (method === 'prompt-tuning') {
    agrees('token_dim', base.hiddenSize, 'hidden size')
  } else {
    agrees('num_layers', base.numLayers, 'number of layers')
    agrees('num_attention_heads', base.numKvHeads, 'number of key and value heads')
    agrees('token_dim', base.numKvHeads * base.headSize, 'width of keys')
    // PEFT then runs the encoder instead of using the rows as they are.
    if (config['prefix_projection'] === true && config['inference_mode'] === false) throw new MalformedModelError('prefix_projection without inference_mode: the stored rows are not the prefix')
  }
  return { method, numVirtualTokens }
}

function methodOf (config: JsonObject): Method {
  if (config['peft_type'] === undefined || config['peft_type'] === null) throw new MalformedModelError('adapter_config.json has no peft_type')
  const type = textAt(config['peft_type'], 'peft_type', 100)
  const method = METHOD_OF.get(type)
  if (method !== undefined) return method
  if (type === 'P_TUNING') throw new MalformedModelError('peft_type P_TUNING is not supported')
  throw new MalformedModelError(KNOWN_PEFT_TYPES.includes(type) ? `peft_type ${type} is not a soft-prompt method that is supported; PROMPT_TUNING and PREFIX_TUNING are` : `peft_type ${quoted(type)} is unknown`)
}

/** `adapter_config.json` with the fields and the order that PEFT 0.21 saves, so that `PeftModel.from_pretrained` reads it. */
export function peftConfig (method: Method, numVirtualTokens: number, baseName: string, base: PromptShape & Pick<LlamaConfig, 'numHeads'>): JsonObject {
  const isPrefix = method === 'prefix-tuning'
  const width = base.numKvHeads * base.headSize
  const own = isPrefix
    ? { encoder_hidden_size: width, init_weights: null, prefix_projection: false }
    : { prompt_tuning_init: 'RANDOM', prompt_tuning_init_text: null, tokenizer_kwargs: null, tokenizer_name_or_path: null }
  return objectAt(Object.fromEntries(Object.entries({
    auto_mapping: null,
    base_model_name_or_path: baseName,
    inference_mode: true,
    modules_to_save: null,
    num_attention_heads: isPrefix ? base.numKvHeads : base.numHeads,
    num_layers: base.numLayers,
    num_transformer_submodules: 1,
    num_virtual_tokens: numVirtualTokens,
    peft_type: PEFT_TYPE_OF[method],
    peft_version: '0.21.0',
    revision: null,
    task_type: 'CAUSAL_LM',
    token_dim: isPrefix ? width : base.hiddenSize,
    ...own
  }).sort(([a], [b]) => a < b ? -1 : 1)), 'adapter_config')
}
