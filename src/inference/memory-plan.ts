/**
 * What the inference process takes at most, in bytes, and how a budget is shared out. Pure.
 *
 * A slot is the unit of admission: a request runs when there is one for each of its rows, and all slots have their place
 * in the budget from the start, so none that was let in can fail for want of memory later. Prompts of requests that
 * wait have theirs in the tier of compiled ones (`admission-by-memory.ts`).
 */
import { badConfig, DEFAULT_KV_SLOTS } from '../config.js'
import { LANES } from '../graph/serving-contract.js'
import type { LlamaConfig } from '../model/llama-config.js'
import { arenaBytes } from './arena.js'
import { KEPT_OUTPUT_BYTES } from './output-constraints.js'

/** Node, ONNX Runtime and the activations of one step: measured 135 MiB on the default base, 14 more for the session of packs. Outputs: tables and masks that are kept, and the thread that makes them. */
const PROCESS_BYTES = 160 * 2 ** 20 + KEPT_OUTPUT_BYTES + 32 * 2 ** 20
/** Of the arena: so much is kept outside it, of rows that gave their slots up for a while. */
const KEPT_PART = 1 / 8
const DEFAULT_CACHE_BYTES = 512 * 2 ** 20
const DEFAULT_EMBEDDING_BYTES = 768 * 2 ** 20
/** Of the two tiers of prompts: what the settings themselves allow. */
const LEAST_TIER_BYTES = 2 ** 20

export interface MemoryWishes {
  readonly budget: number | undefined
  readonly slots: number | undefined
  readonly promptCacheBytes: number | undefined
  readonly promptEmbeddingBytes: number | undefined
}

export interface MemoryPlan {
  /** Of the serving graph. */
  readonly weightBytes: number
  readonly processBytes: number
  /** Sequences that run at once; the arena has one slot more, in which prompts are compiled. */
  readonly slots: number
  readonly slotBytes: number
  readonly arenaBytes: number
  /** Of rows that gave their slots up for a while. */
  readonly keptBytes: number
  /** Inputs and outputs of a step. */
  readonly stepBytes: number
  readonly promptCacheBytes: number
  readonly promptEmbeddingBytes: number
  readonly totalBytes: number
  readonly budgetBytes: number | null
}

/**
 * What was wished for stands. Of a budget the rest is shared out: slots get up to half of it, as far as there is use for
 * them by default, and of what then is left compiled prompts get two parts and embeddings three.
 * @param positions of a slot
 * @throws ConfigError when the budget is too small, with the numbers
 */
export function planMemory (config: LlamaConfig, positions: number, weightBytes: number, { budget, ...wishes }: MemoryWishes): MemoryPlan {
  const slotBytes = arenaBytes({ layers: config.numLayers, slots: 1, kvHeads: config.numKvHeads, positions, headSize: config.headSize })
  const fixedBytes = weightBytes + PROCESS_BYTES + stepBytes(config, LANES, positions)
  const perSlot = slotBytes * (1 + KEPT_PART) + stepBytes(config, 1, 0)
  const planned = (slots: number, promptCacheBytes: number, promptEmbeddingBytes: number): MemoryPlan => ({
    weightBytes, processBytes: PROCESS_BYTES, slots, slotBytes, arenaBytes: (slots + 1) * slotBytes, keptBytes: (slots + 1) * slotBytes * KEPT_PART, stepBytes: stepBytes(config, slots + 1 + LANES, positions),
    promptCacheBytes, promptEmbeddingBytes, totalBytes: fixedBytes + (slots + 1) * perSlot + promptCacheBytes + promptEmbeddingBytes, budgetBytes: budget ?? null
  })
  if (budget === undefined) {
    return planned(wishes.slots ?? DEFAULT_KV_SLOTS, wishes.promptCacheBytes ?? DEFAULT_CACHE_BYTES, wishes.promptEmbeddingBytes ?? DEFAULT_EMBEDDING_BYTES)
  }
  const least = planned(wishes.slots ?? 1, wishes.promptCacheBytes ?? LEAST_TIER_BYTES, wishes.promptEmbeddingBytes ?? LEAST_TIER_BYTES)
  const left = budget - least.totalBytes
  if (left < 0) throw badConfig(tooSmall(least))
  const more = wishes.slots === undefined ? Math.min(DEFAULT_KV_SLOTS - 1, Math.floor(left / 2 / perSlot)) : 0
  const rest = left - more * perSlot
  const cacheShare = wishes.promptCacheBytes !== undefined ? 0 : wishes.promptEmbeddingBytes !== undefined ? rest : Math.floor(rest * 2 / 5)
  const embeddingShare = wishes.promptEmbeddingBytes === undefined ? rest - cacheShare : 0
  return planned(least.slots + more, least.promptCacheBytes + cacheShare, least.promptEmbeddingBytes + embeddingShare)
}

/** Positions that may be kept outside the slots. */
export function keptPositions (slots: number, positions: number): number {
  return Math.floor((slots + 1) * positions * KEPT_PART)
}

/** What the engine binds: scores and hidden rows for each slot and lane, ids and a soft table for each position. */
function stepBytes ({ hiddenSize, vocabSize }: LlamaConfig, slots: number, positions: number): number {
  return slots * (vocabSize + hiddenSize) * 4 + positions * (hiddenSize * 4 + 8)
}

function tooSmall (least: MemoryPlan): string {
  const { budgetBytes, totalBytes, weightBytes, processBytes, slots, slotBytes, keptBytes, stepBytes, promptCacheBytes, promptEmbeddingBytes } = least
  return `INFERENCE_MEMORY_BYTES: ${budgetBytes} bytes, the least is ${totalBytes}: ${weightBytes} of weights, ${processBytes} of the process, ` +
    `${slots} + 1 slots of ${slotBytes}, ${keptBytes} of rows without a slot, ${stepBytes} of inputs and outputs, ${promptCacheBytes} of compiled prompts, ${promptEmbeddingBytes} of their embeddings`
}
