/** Metadata of a GGUF file of architecture `llama` -> the dimensions of the base. */
import { MalformedModelError } from '../errors.js'
import type { Gguf } from './gguf.js'
import { expectShape } from './gguf-tensors.js'
import { integerOf, optionalInteger, optionalIntegers, optionalPositive, optionalText, positiveOf, shown, textOf, textsOf } from './gguf-values.js'
import type { GgufMetadata } from './gguf-values.js'
import { MAX_CONTEXT } from './llama-config.js'
import type { LlamaConfig } from './llama-config.js'
import { defaultFrequencies, divideFrequencies, linearScaling, usableFrequencies } from './rope-frequencies.js'

export interface GgufLlama { readonly config: LlamaConfig, readonly name: string | null, readonly licence: string | null, readonly warnings: readonly string[] }

/** `ropeFreqs`: values of the tensor `rope_freqs.weight`, if there is one. @throws MalformedModelError naming the key */
export function ggufLlamaConfig (gguf: Gguf, ropeFreqs: Float32Array | null): GgufLlama {
  const { metadata } = gguf
  const architecture = textOf(metadata, 'general.architecture')
  if (architecture !== 'llama') throw new MalformedModelError(`architecture '${shown(architecture)}' is not supported; llama is`)
  const files = optionalInteger(metadata, 'split.count') ?? 1
  if (files > 1) throw new MalformedModelError(`this is one of ${files} files (split.count): the other tensors are elsewhere; merge them first`)
  const experts = optionalInteger(metadata, 'llama.expert_count') ?? 0
  if (experts > 0) throw new MalformedModelError(`llama.expert_count ${experts}: mixtures of experts are not supported`)

  const numLayers = integerOf(metadata, 'llama.block_count', 1)
  const contextLength = integerOf(metadata, 'llama.context_length', 1, MAX_CONTEXT)
  const hiddenSize = integerOf(metadata, 'llama.embedding_length', 1)
  const vocabSize = vocabularySize(metadata)
  // Before anything that depends on the width, so that a wrong width is reported as such.
  expectShape(gguf.tensors, 'token_embd.weight', [vocabSize, hiddenSize], `${vocabSize} tokens, llama.embedding_length ${hiddenSize}`)
  const heads = headNumbers(metadata, hiddenSize, numLayers)
  const warnings: string[] = []
  const token = (key: string): number | null => {
    const id = optionalInteger(metadata, key, -1)
    if (id === null || id === -1) return null
    if (id < vocabSize) return id
    warnings.push(`${key} ${id} is no token of ${vocabSize} and is not used`)
    return null
  }
  const ends = [token('tokenizer.ggml.eos_token_id'), token('tokenizer.ggml.eot_token_id')].filter(id => id !== null)
  const config: LlamaConfig = {
    family: 'llama',
    vocabSize,
    hiddenSize,
    numLayers,
    ...heads,
    intermediateSize: perLayer(metadata, 'llama.feed_forward_length', numLayers) ?? integerOf(metadata, 'llama.feed_forward_length', 1),
    rmsNormEps: positiveOf(metadata, 'llama.attention.layer_norm_rms_epsilon'),
    ropeInverseFrequencies: usableFrequencies(inverseFrequencies(metadata, heads.headSize, ropeFreqs), 'the llama.rope keys and rope_freqs.weight'),
    contextLength,
    tiedEmbeddings: !gguf.tensors.has('output.weight'),
    bosTokenId: token('tokenizer.ggml.bos_token_id'),
    eosTokenIds: [...new Set(ends)]
  }
  return { config, name: optionalText(metadata, 'general.name'), licence: optionalText(metadata, 'general.license'), warnings }
}

function vocabularySize (metadata: GgufMetadata): number {
  const tokens = textsOf(metadata, 'tokenizer.ggml.tokens').length
  if (tokens === 0) throw new MalformedModelError('tokenizer.ggml.tokens is empty')
  const declared = optionalInteger(metadata, 'llama.vocab_size')
  if (declared !== null && declared !== tokens) throw new MalformedModelError(`llama.vocab_size is ${declared}, there are ${tokens} tokens`)
  return tokens
}

/** A key that some files give once for each layer; one number for all is what a Llama has. Null when it is no array. */
function perLayer (metadata: GgufMetadata, key: string, numLayers: number): number | null {
  if (metadata.get(key)?.type !== 'array') return null
  const values = optionalIntegers(metadata, key) ?? []
  if (values.length !== numLayers) throw new MalformedModelError(`${key} is an array of ${values.length} entries for ${numLayers} ${numLayers === 1 ? 'layer' : 'layers'}`)
  const first = values[0]!
  if (first < 1 || values.some(value => value !== first)) throw new MalformedModelError(`${key}: layers of different shape (${values.slice(0, 8).join(', ')}) are not supported`)
  return first
}

function headNumbers (metadata: GgufMetadata, hiddenSize: number, numLayers: number): Pick<LlamaConfig, 'numHeads' | 'numKvHeads' | 'headSize'> {
  const headKey = 'llama.attention.head_count'
  const numHeads = perLayer(metadata, headKey, numLayers) ?? integerOf(metadata, headKey, 1)
  const kvKey = 'llama.attention.head_count_kv'
  const numKvHeads = perLayer(metadata, kvKey, numLayers) ?? optionalInteger(metadata, kvKey, 1) ?? numHeads
  if (numHeads % numKvHeads !== 0) throw new MalformedModelError(`${headKey} ${numHeads} is not a multiple of ${kvKey} ${numKvHeads}`)
  const keyLength = optionalInteger(metadata, 'llama.attention.key_length', 1)
  if (keyLength === null && hiddenSize % numHeads !== 0) throw new MalformedModelError(`llama.embedding_length ${hiddenSize} is not a multiple of ${headKey} ${numHeads}`)
  const headSize = keyLength ?? hiddenSize / numHeads
  const valueLength = optionalInteger(metadata, 'llama.attention.value_length', 1) ?? headSize
  if (valueLength !== headSize) throw new MalformedModelError(`llama.attention.value_length ${valueLength} differs from the key length ${headSize}, which is not supported`)
  const rotated = optionalInteger(metadata, 'llama.rope.dimension_count') ?? headSize
  if (rotated !== headSize) throw new MalformedModelError(`llama.rope.dimension_count ${rotated}${rotated % 2 === 1 ? ' is odd, and' : ''} is not the ${headSize} of a head; heads rotated in part are not supported`)
  if (headSize % 2 === 1) throw new MalformedModelError(`a head of ${headSize} cannot be rotated in pairs: an even size is needed`)
  return { numHeads, numKvHeads, headSize }
}

function inverseFrequencies (metadata: GgufMetadata, headSize: number, ropeFreqs: Float32Array | null): readonly number[] {
  const plain = defaultFrequencies(headSize, optionalPositive(metadata, 'llama.rope.freq_base') ?? 10_000)
  const scaled = scaling(metadata, plain)
  if (ropeFreqs === null) return scaled
  if (ropeFreqs.length !== headSize / 2) throw new MalformedModelError(`tensor rope_freqs.weight has ${ropeFreqs.length} values; half a head is ${headSize / 2}`)
  const bad = ropeFreqs.findIndex(value => value <= 0)
  if (bad >= 0) throw new MalformedModelError(`tensor rope_freqs.weight is ${ropeFreqs[bad]} at index ${bad}; a positive number is expected`)
  return divideFrequencies(scaled, ropeFreqs)
}

function scaling (metadata: GgufMetadata, plain: readonly number[]): readonly number[] {
  const type = optionalText(metadata, 'llama.rope.scaling.type') ?? (metadata.has('llama.rope.scale_linear') || metadata.has('llama.rope.scaling.factor') ? 'linear' : 'none')
  if (type === 'none') return plain
  if (type !== 'linear') throw new MalformedModelError(`llama.rope.scaling.type ${shown(type)} is not supported; none and linear are`)
  const factor = optionalPositive(metadata, 'llama.rope.scaling.factor') ?? optionalPositive(metadata, 'llama.rope.scale_linear') ?? 1
  return linearScaling(plain, factor)
}
