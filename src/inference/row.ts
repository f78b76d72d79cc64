import type { ServiceError } from '../errors.js'
import type { CompiledPrompt } from './compiled-prompt.js'
import type { Timing } from './protocol.js'
import type { Schedulable } from './scheduler.js'

/** What runs in one slot. A request is one row, or several that come and leave together. */
export interface Row extends Schedulable {
  /** Positions of its slot that hold keys and values. */
  length: number
  /** Null until the first step. */
  startedAt: number | null
  cancelled: boolean
  /** Tokens that the request has generated so far, of all its rows. */
  readonly generated: number
  /** Null: none, or it was released. */
  readonly prompt: CompiledPrompt | null
  /** It needs the scores of the vocabulary, not the last hidden row alone. */
  readonly generates: boolean
  /** The id that the next decode step runs. */
  readonly lastToken: number
  /** All rows of its request that have a slot or wait for one. */
  readonly company: readonly Row[]
  /** Its prefix lies in the slot. */
  releasePrompt (): void
  /** The next `tokens` ids of the input. */
  inputChunk (tokens: number): readonly number[]
  /**
   * Take the result of the last position.
   * @param hidden [hidden] @param logits [vocabulary]; empty when it classifies; valid until the next step
   * @throws ServiceError `not_finite`
   */
  accept (hidden: Float32Array, logits: Float32Array): Outcome
  /** Tell the client; once. */
  fail (error: ServiceError): void
  /** It has left the engine. */
  end (): void
}

export type Outcome = 'goes-on' | 'ended' | Rearrangement | Succession

/** Its input is in, and its request takes in another one. */
export interface Succession {
  /** Which row does. */
  readonly next: Row
  /** The row keeps its slot; else it has nothing left to do. */
  readonly stays: boolean
}

/** What has to happen in the arena before the next step, in this order. */
export interface Rearrangement {
  /** Rows that join their request; behind the copies they hold what the others do. */
  readonly added: readonly Row[]
  /** Positions from `start` on go from one slot into another that is not itself copied from. */
  readonly copies: ReadonlyArray<{ readonly from: Row, readonly to: Row }>
  readonly start: number
}

/** Tokens of an input that the prefix in front of it does not have. */
export function toRun (inputIds: readonly number[], prompt: CompiledPrompt | null): number {
  return inputIds.length - (prompt?.fixedTokens ?? 0)
}

/** The next `tokens` ids of an input of which `remaining` have not been run. */
export function nextOf (inputIds: readonly number[], remaining: number, tokens: number): readonly number[] {
  const start = inputIds.length - remaining
  return inputIds.slice(start, start + tokens)
}

/** Milliseconds of `performance.now()` at which a request arrived, ran first, and had its first result. */
export interface Moments { readonly arrivedAt: number, readonly startedAt: number | null, readonly firstResultAt: number }

export function timingOf ({ arrivedAt, startedAt, firstResultAt }: Moments, now: number): Timing {
  const started = startedAt ?? now
  return { queueMs: rounded(started - arrivedAt), prefillMs: rounded(firstResultAt - started), decodeMs: rounded(now - firstResultAt) }
}

/** Hundredths of a millisecond are below the noise. */
function rounded (ms: number): number {
  return Math.round(ms * 100) / 100
}
