/** A Hugging Face `config.json` of a Llama -> the dimensions of the base, in the styles of transformers 4 and 5. */
import { MalformedModelError } from '../errors.js'
import { MAX_CONTEXT } from './llama-config.js'
import type { LlamaConfig } from './llama-config.js'
import { defaultFrequencies, linearScaling, llama3Scaling, usableFrequencies } from './rope-frequencies.js'

type Fields = Readonly<Record<string, unknown>>

/** `generation`: the parsed `generation_config.json`, if there is one; its end tokens count. @throws MalformedModelError naming the field */
export function hfLlamaConfig (config: Fields, generation: Fields | null): { config: LlamaConfig, warnings: string[] } {
  if (config['model_type'] !== 'llama') throw new MalformedModelError(`config.json: model_type ${found(config['model_type'])} is not supported; "llama" is`)
  refuse(config, 'hidden_act', ['silu', 'swish'])
  refuse(config, 'attention_bias', [false])
  refuse(config, 'mlp_bias', [false])
  refuse(config, 'quantization_config', [])
  const hiddenSize = integer(config, 'hidden_size')
  const numHeads = integer(config, 'num_attention_heads')
  const numKvHeads = integer(config, 'num_key_value_heads', numHeads)
  if (numHeads % numKvHeads !== 0) throw new MalformedModelError(`config.json: num_attention_heads ${numHeads} is not a multiple of num_key_value_heads ${numKvHeads}`)
  if (isAbsent(config['head_dim']) && hiddenSize % numHeads !== 0) throw new MalformedModelError(`config.json: hidden_size ${hiddenSize} is not a multiple of num_attention_heads ${numHeads}`)
  const headSize = integer(config, 'head_dim', hiddenSize / numHeads)
  if (headSize % 2 === 1) throw new MalformedModelError(`config.json: a head of ${headSize} cannot be rotated in pairs: an even head_dim is needed`)
  const vocabSize = integer(config, 'vocab_size')
  const warnings: string[] = []
  const known = (field: string, id: number): boolean => {
    if (id < vocabSize) return true
    warnings.push(`${field} ${id} is no token of ${vocabSize} and is not used`)
    return false
  }
  const bos = tokens(config, 'bos_token_id', 1)[0]
  const ends = generation !== null && !isAbsent(generation['eos_token_id']) ? tokens(generation, 'eos_token_id', 2) : tokens(config, 'eos_token_id', 2)
  return {
    config: {
      family: 'llama',
      vocabSize,
      hiddenSize,
      numLayers: integer(config, 'num_hidden_layers'),
      numHeads,
      numKvHeads,
      headSize,
      intermediateSize: integer(config, 'intermediate_size'),
      rmsNormEps: positive(config, 'rms_norm_eps', 1e-6),
      ropeInverseFrequencies: usableFrequencies(frequencies(config, headSize), 'config.json: the rope fields'),
      contextLength: contextLength(config),
      tiedEmbeddings: boolean(config, 'tie_word_embeddings', false),
      bosTokenId: bos !== undefined && known('bos_token_id', bos) ? bos : null,
      eosTokenIds: [...new Set(ends.filter(id => known('eos_token_id', id)))]
    },
    warnings
  }
}

/**
 * `rope_parameters` of transformers 5, or `rope_theta` and `rope_scaling` before it; of both, `rope_scaling` holds unless it
 * is empty, and where the original context is not given it is the whole (`RotaryEmbeddingConfigMixin` of transformers 5.17).
 */
function frequencies (config: Fields, headSize: number): readonly number[] {
  const name = isAbsent(config['rope_scaling']) || isEmpty(config['rope_scaling']) ? 'rope_parameters' : 'rope_scaling'
  const parameters = config[name] ?? {}
  if (typeof parameters !== 'object' || Array.isArray(parameters)) throw new MalformedModelError(`config.json: ${name} must be an object, found ${found(parameters)}`)
  const rope = parameters as Fields
  if (positive(rope, 'partial_rotary_factor', positive(config, 'partial_rotary_factor', 1)) !== 1) throw new MalformedModelError('config.json: partial_rotary_factor other than 1 is not supported')
  const plain = defaultFrequencies(headSize, positive(rope, 'rope_theta', positive(config, 'rope_theta', 10_000)))
  const type = rope['rope_type'] ?? rope['type'] ?? 'default'
  if (type === 'default') return plain
  if (type === 'linear') return linearScaling(plain, positive(rope, 'factor'))
  if (type !== 'llama3') throw new MalformedModelError(`config.json: ${name} of type ${found(type)} is not supported; default, linear and llama3 are`)
  const scaling = {
    factor: positive(rope, 'factor'),
    lowFreqFactor: positive(rope, 'low_freq_factor'),
    highFreqFactor: positive(rope, 'high_freq_factor'),
    originalContext: integer(config, 'original_max_position_embeddings', integer(rope, 'original_max_position_embeddings', contextLength(config)))
  }
  if (scaling.highFreqFactor <= scaling.lowFreqFactor) throw new MalformedModelError(`config.json: ${name}: high_freq_factor ${scaling.highFreqFactor} must be above low_freq_factor ${scaling.lowFreqFactor}`)
  return llama3Scaling(plain, scaling)
}

function contextLength (config: Fields): number {
  return integer(config, 'max_position_embeddings', 2048, MAX_CONTEXT)
}

function isEmpty (value: unknown): boolean {
  return typeof value === 'object' && value !== null && Object.keys(value).length === 0
}

const isAbsent = (value: unknown): value is null | undefined => value === undefined || value === null

function found (value: unknown): string {
  const text = JSON.stringify(value) ?? 'nothing'
  return text.length > 100 ? text.slice(0, 100) + '…' : text
}

/** A field that may be absent or null, or one of the values that change nothing. */
function refuse (fields: Fields, field: string, harmless: readonly unknown[]): void {
  const value = fields[field]
  if (!isAbsent(value) && !harmless.includes(value)) throw new MalformedModelError(`config.json: ${field} ${found(value)} is not supported`)
}

function integer (fields: Fields, field: string, otherwise?: number, max = 0x7fff_ffff): number {
  const value = fields[field] ?? otherwise
  if (value === undefined) throw new MalformedModelError(`config.json: ${field} is missing`)
  if (typeof value === 'string') throw new MalformedModelError(`config.json: ${field} must be an integer, found the string ${found(value)}`)
  if (typeof value !== 'number' || !Number.isInteger(value) || value < 1) throw new MalformedModelError(`config.json: ${field} must be a positive integer, found ${found(value)}`)
  if (value > max) throw new MalformedModelError(`config.json: ${field} is ${value}, limit ${max}`)
  return value
}

function positive (fields: Fields, field: string, otherwise?: number): number {
  const value = fields[field] ?? otherwise
  if (value === undefined) throw new MalformedModelError(`config.json: ${field} is missing`)
  if (typeof value !== 'number' || !(Math.fround(value) > 0) || Math.fround(value) === Infinity) throw new MalformedModelError(`config.json: ${field} must be a positive float32 number, found ${typeof value === 'number' ? value : found(value)}`)
  return value
}

function boolean (fields: Fields, field: string, otherwise: boolean): boolean {
  const value = fields[field] ?? otherwise
  if (typeof value !== 'boolean') throw new MalformedModelError(`config.json: ${field} must be true or false, found ${found(value)}`)
  return value
}

/** One id or a list; absent means Llama's default in transformers, null means none. */
function tokens (fields: Fields, field: string, otherwise: number): number[] {
  const value = fields[field] === undefined ? otherwise : fields[field]
  if (value === null) return []
  const ids: unknown[] = Array.isArray(value) ? value : [value]
  for (const id of ids) {
    if (typeof id !== 'number' || !Number.isInteger(id) || id < 0) throw new MalformedModelError(`config.json: ${field} must be a token id, found ${found(id)}`)
  }
  return ids as number[]
}
