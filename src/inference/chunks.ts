/** How an input is cut into steps, and how many of its tokens may run between two decode steps. */

/**
 * Tokens of one prefill step: long enough for the best rate, short enough that decoding rows wait for 0.2 s at most on
 * the default base.
 */
export const MAX_CHUNK = 256

/**
 * Input tokens taken in for each decode step while rows decode. Several short inputs share it; a longer chunk goes only
 * when nothing of it is used, and is paid back by decode steps that follow without one: at a full batch, about half of
 * the time each.
 */
export const STEP_TOKENS = 128

/** What a run costs whatever its length, in input tokens. */
export const RUN_TOKENS = 10

/**
 * Inputs of so many tokens at most run together: eight of 16 take 0.68 of the time that they take one after another, of
 * 32 0.81, of 64 0.94 (default base, one thread).
 */
export const PACK_INPUT_TOKENS = 32

/** Tokens of one pack at most: rows that decode wait no longer for it than for a chunk that long. */
export const PACK_TOKENS = STEP_TOKENS

/**
 * Tokens of the next chunk. Depends on nothing but the request itself, so that its kernels are the same in any company.
 * One token is never left over: attention kernels for one and for several tokens round differently.
 */
export function chunkOf (remaining: number): number {
  if (remaining <= MAX_CHUNK) return remaining
  return remaining === MAX_CHUNK + 1 ? MAX_CHUNK - 1 : MAX_CHUNK
}

/** What a chunk takes from `STEP_TOKENS`. */
export function costOf (tokens: number): number {
  return RUN_TOKENS + tokens
}
