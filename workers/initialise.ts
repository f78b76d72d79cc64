/** What a prompt is before its first step. Same seed, same base, same numbers. */
import { keyValueGraph } from '../src/model/families/llama-text.js'
import { headName } from '../src/model/families/llama.js'
import type { LlamaConfig } from '../src/model/llama-config.js'
import { EMBEDDING } from '../src/model/llama-tensors.js'
import type { Tokenizer } from '../src/model/tokenizer.js'
import { initialText, repeatTo } from '../src/prompt/initial-text.js'
import { promptColumns } from '../src/prompt/peft.js'
import type { Label, TaskSpec } from '../src/prompt/task-spec.js'
import type { CompletedMethod, Init } from '../src/training/job.js'
import type { BaseWeights } from './base-weights.js'
import { GraphSession } from './graph-session.js'
import { createRandom, type Random } from './random.js'

export interface InitialPromptOptions {
  readonly method: CompletedMethod
  readonly spec: TaskSpec
  readonly config: LlamaConfig
  readonly weights: BaseWeights
  readonly tokenizer: Pick<Tokenizer, 'encode'>
  readonly seed: number
  readonly threads: number
  readonly signal: AbortSignal
}

const PROMPT_STREAM = 3
/** Lester et al. (2021), section 2.1: uniform in [-0.5, 0.5]. */
const UNIFORM_RANGE = 0.5
/** Keys and values that start small leave attention to the text at first; PEFT's unit normal drowns it. */
const PREFIX_DEVIATION = 0.02
/** Lester et al. (2021): of the most common tokens; tokenizers number these first. */
const COMMON_TOKENS = 5000

/** Row-major [P, columns of the method]. */
export async function initialPrompt (options: InitialPromptOptions): Promise<Float32Array> {
  const { method, config, seed } = options
  const random = createRandom(seed, PROMPT_STREAM)
  if (method.init.type === 'random') return randomPrompt(method, config, random)
  const ids = initialTokens(method.init, options, random)
  switch (method.type) {
    case 'prompt-tuning': return options.weights.rows(EMBEDDING, ids)
    case 'prefix-tuning': return await keysAndValues(ids, options)
  }
}

function randomPrompt ({ type, num_virtual_tokens: rows }: CompletedMethod, config: LlamaConfig, random: Random): Float32Array {
  const draw = type === 'prompt-tuning' ? () => UNIFORM_RANGE * (2 * random.next() - 1) : () => PREFIX_DEVIATION * random.normal()
  return Float32Array.from({ length: rows * promptColumns(type, config) }, draw)
}

/** P token ids; a text is repeated or cut to that number, as PEFT does. */
function initialTokens (init: Exclude<Init, { type: 'random' }>, { method, spec, config, tokenizer }: InitialPromptOptions, random: Random): number[] {
  const length = method.num_virtual_tokens
  if (init.type === 'vocabulary') {
    const limit = Math.min(COMMON_TOKENS, config.vocabSize)
    return Array.from({ length }, () => random.below(limit))
  }
  return repeatTo(tokenizer.encode(init.text ?? initialText(spec)), length)
}

/** The real keys and values of a text at positions 0..P-1. */
async function keysAndValues (ids: readonly number[], { config, weights, threads, signal }: InitialPromptOptions): Promise<Float32Array> {
  const session = await GraphSession.open(keyValueGraph({ config, weights: weights.plain, maxPositions: ids.length }), weights.folder, threads)
  try {
    const { prefix } = await session.run({ ids: { type: 'int64', data: BigInt64Array.from(ids, BigInt), dims: [ids.length] } }, signal)
    if (prefix === undefined) throw new Error('internal: the key/value graph has an output prefix')
    return prefix.slice()
  } finally {
    await session.close()
  }
}

/** Of each label the mean of the head rows of its tokens, row-major [labels, hidden]. */
export function initialLabelVectors (labels: readonly Label[], config: LlamaConfig, weights: BaseWeights): Float32Array {
  const vectors = new Float32Array(labels.length * config.hiddenSize)
  labels.forEach(({ tokenIds }, label) => {
    weights.rows(headName(config), tokenIds).forEach((value, i) => {
      vectors[label * config.hiddenSize + i % config.hiddenSize]! += value / tokenIds.length
    })
  })
  return vectors
}

/** The head row of each label's one token: the fixed matrix of a verbalizer of tokens. */
export function labelTokenRows (labels: readonly Label[], config: LlamaConfig, weights: BaseWeights): Float32Array {
  return weights.rows(headName(config), labels.map(label => label.tokenId))
}
