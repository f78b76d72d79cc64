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
const RUN_TOKENS = 10

/**
 * Tokens of the next chunk. Depends on nothing but the request itself, so that its kernels are the same in any company.
 * One token is never left over: attention kernels for one and for several tokens round differently.
 */
export function chunkOf (remaining: number): number {
  if (remaining <= MAX_CHUNK) return remaining
  return remaining === MAX_CHUNK + 1 ? MAX_CHUNK - 1 : MAX_CHUNK
}

/**
 * Chunks of a tenant count so many times when it was served more than another whose rows decode: those rows wait for
 * them. In simulation, a tenant with twenty times its share costs the others 40 % less time for 10 % of the throughput.
 */
const AHEAD_FACTOR = 4

/** What a chunk takes from `STEP_TOKENS`. @param ahead its tenant was served more than another whose rows decode */
export function costOf (tokens: number, ahead: boolean): number {
  return (RUN_TOKENS + tokens) * (ahead ? AHEAD_FACTOR : 1)
}
