/** On which bases isolation is measured, and what is asked of them. */
import { availableParallelism } from 'node:os'
import type { Config } from '../../src/config.js'
import { HeadRows } from '../../src/inference/head-rows.js'
import type { ServiceSettings } from '../../src/inference/start-service.js'
import type { Base } from '../../src/model/base.js'
import { loadTokenizer } from '../../src/model/bpe-tokenizer.js'
import { CALIBRATION_TEXT } from '../../src/model/calibration-text.js'
import type { Below } from '../../test/inference/company.js'
import type { PromptNumbers } from '../../test/inference/mixes.js'
import { tinyBase } from '../../test/inference/tiny-base.js'
import { TINY_VOCABULARY } from '../../test/support/tiny-llama.js'
import { openDefaultBase } from '../default-base.js'

export interface Model {
  readonly name: string
  readonly base: Base
  /** Room for about half of the prompts: some are compiled again while other requests decode. */
  readonly settings: Pick<ServiceSettings, 'maxContext' | 'threads' | 'promptCacheBytes'>
  readonly promptLengths: readonly number[]
  readonly numbers: (random: () => number) => PromptNumbers
  /** From which inputs are cut. */
  readonly text: readonly number[]
  /** Mostly short ones, as in use; those over the scheduler's chunk are taken in by parts. */
  readonly inputLengths: readonly number[]
  /** Distinct requests to each task. */
  readonly rounds: number
  readonly maxTokens: number
  readonly stopTokenIds: (below: Below) => number[]
  dispose (): Promise<void>
}

export const MODELS = ['default', 'tiny'] as const
export type ModelName = typeof MODELS[number]

/** Each is opened when it is its turn. */
export function modelsOf (name: ModelName, config: Config): ReadonlyArray<() => Promise<Model>> {
  if (name === 'default') return [async () => await defaultModel(config)]
  // Served by the fused attention, and by plain operators, whose products are others when one head of keys is for all.
  return ([[16, 2], [12, 2], [12, 1]] as const).map(([headSize, numKvHeads]) => async () => await tinyModel(headSize, numKvHeads))
}

/** Keys and values of a trained prefix are of this order. */
const PREFIX_SCALE = 1.5

async function defaultModel (config: Config): Promise<Model> {
  const base = await openDefaultBase(config)
  const scale = await rowScale(base)
  return {
    name: base.manifest.name,
    base,
    settings: { maxContext: 512, threads: config.INFERENCE_THREADS || availableParallelism(), promptCacheBytes: 2 ** 25 },
    promptLengths: [1, 7, 20, 64],
    // Of the size that trained prompts have: embeddings and label vectors as the base's own rows.
    numbers: random => ({ value: method => random() * (method === 'prefix-tuning' ? PREFIX_SCALE : scale), labelValue: () => random() * scale }),
    text: (await loadTokenizer(base.folder)).encode(CALIBRATION_TEXT),
    inputLengths: [1, 2, 3, 5, 8, 12, 17, 24, 33, 48, 64, 96, 140, 200, 257, 300],
    rounds: 3,
    maxTokens: 20,
    stopTokenIds: () => [...base.manifest.config.eosTokenIds],
    async dispose () {}
  }
}

/** Small, so that a hundred thousand mixes take minutes. */
async function tinyModel (headSize: number, numKvHeads: number): Promise<Model> {
  const { base, dispose } = await tinyBase({ numLayers: 2, numHeads: 4, numKvHeads, headSize, hiddenSize: 4 * headSize, intermediateSize: 48, contextLength: 384 })
  return {
    name: `tiny, head size ${headSize}, ${numKvHeads} of keys`,
    base,
    settings: { maxContext: 384, threads: 1, promptCacheBytes: 20_000 },
    promptLengths: [1, 2, 7, 20],
    numbers: random => ({ value: random, labelValue: random }),
    text: Array.from({ length: 997 }, (_, i) => i * i % TINY_VOCABULARY),
    inputLengths: [...Array.from({ length: 5 }, () => [1, 2, 3, 5, 8, 13, 21, 34]).flat(), 60, 257, 300],
    rounds: 10,
    maxTokens: 10,
    stopTokenIds: below => [below(TINY_VOCABULARY)],
    dispose
  }
}

/** Uniform numbers in [-a, a) have the root mean square a / sqrt(3); here that of embeddings. */
async function rowScale (base: Base): Promise<number> {
  const head = await HeadRows.open(base.folder)
  try {
    const rows = await head.read(Array.from({ length: 64 }, (_, i) => Math.floor(i * base.manifest.config.vocabSize / 64)))
    return Math.sqrt(3 * rows.reduce((sum, x) => sum + x * x, 0) / rows.length)
  } finally {
    await head.close()
  }
}
