/** The two forms in which a soft prompt is kept in memory: what it is compiled from, and what a step needs. */
import type { Digest } from '../digest.js'

/** Arrays without their numbers, the digest, places in maps and allocator: measured with 100,000 prompts of one token. */
const OBJECTS_BYTES = 1300

interface Prompt {
  readonly digest: Digest
  readonly virtualTokens: number
  /** Rows that `hidden` is multiplied with, [labels, hidden]; null for generation. */
  readonly labels: Float32Array | null
}

/** Of prompt tuning: checked, and in the residual space of one serving graph. Tens of kilobytes. */
export interface PromptEmbeddings extends Prompt {
  /** [P, hidden] */
  readonly embeddings: Float32Array
}

/** With nothing left to compute. About a megabyte. */
export interface CompiledPrompt extends Prompt {
  /** Tokens behind the virtual ones with which every input of the task begins; 0: the prompt alone. */
  readonly fixedTokens: number
  /** Keys and values of the virtual and the fixed tokens, [layers, k|v, KH, P + F, D]. */
  readonly prefix: Float32Array
}

/** Positions of a slot that the prefix fills. */
export function positionsOf ({ virtualTokens, fixedTokens }: CompiledPrompt): number {
  return virtualTokens + fixedTokens
}

export function bytesOfCompiled ({ prefix, labels }: CompiledPrompt): number {
  return bytesOfParts(prefix.byteLength, labels)
}

export function bytesOfEmbeddings ({ embeddings, labels }: PromptEmbeddings): number {
  return bytesOfParts(embeddings.byteLength, labels)
}

/** Of a prompt whose embeddings, or keys and values, take so many. */
export function bytesOfParts (numbersBytes: number, labels: Float32Array | null): number {
  return OBJECTS_BYTES + numbersBytes + (labels?.byteLength ?? 0)
}
