/**
 * What the api and the inference process say to each other: numbers only, an `output` aside, over HTTP on a Unix socket or TCP.
 *
 * `POST /sequences` takes a `SequenceRequest` and answers with lines of JSON (`application/x-ndjson`), each a
 * `SequenceEvent`; the last one is `scores`, `finished`, `beams` or `failed`. Closing the connection cancels the sequence.
 * `GET /status` answers a `StatusReport`. Refusals before the first event are `{ error: { code, message, param } }`
 * with a non-2xx status, and `retry-after` in seconds where trying again helps, there or at another process.
 *
 * Where the two share a secret, each request carries it as `authorization: Bearer`; without it the answer is 401. A
 * sequence may name the process it is for in `REPLICA_HEADER`: one that has taken over the address refuses it, because
 * what the api knows of the other (its base) need not be true of this one.
 */
import { type Static, Type } from '@sinclair/typebox'
import { OutputSchema } from '../constraint/output.js'
import type { Digest } from '../digest.js'
import type { ErrorCode } from '../errors.js'

export const MAX_BEAMS = 16
/** Of an ensemble. */
export const MAX_MEMBERS = 8
export const REPLICA_HEADER = 'permafrost-replica'

const Id = Type.Integer({ minimum: 0 })
const DigestText = Type.String({ pattern: '^sha256:[0-9a-f]{64}$' })

export const SamplingSchema = Type.Object({
  /** 0 is greedy. */
  temperature: Type.Number({ minimum: 0 }),
  topK: Type.Integer({ minimum: 0 }), // 0: off
  topP: Type.Number({ exclusiveMinimum: 0, maximum: 1 }),
  minP: Type.Number({ minimum: 0, maximum: 1 }),
  seed: Type.Integer({ minimum: 0 }),
  /** Which of several independent answers with this seed; absent: 0. */
  sample: Type.Optional(Type.Integer({ minimum: 0, maximum: 2 ** 32 - 1 }))
}, { additionalProperties: false })
export type Sampling = Static<typeof SamplingSchema>

/** Limits that keep every score finite. */
export const PenaltiesSchema = Type.Object({
  /** 1: none. Of the tokens of input and answer. */
  repetition: Type.Number({ minimum: 0.01, maximum: 10 }),
  /** 0: none. Of the tokens of the answer. */
  presence: Type.Number({ minimum: -2, maximum: 2 }),
  frequency: Type.Number({ minimum: -2, maximum: 2 })
}, { additionalProperties: false })
export type Penalties = Static<typeof PenaltiesSchema>

/** Beam search as in Hugging Face transformers; each beam is a row. */
export const BeamWorkSchema = Type.Object({
  kind: Type.Literal('beams'),
  maxTokens: Type.Integer({ minimum: 1 }),
  stopTokenIds: Type.Array(Id),
  beams: Type.Integer({ minimum: 2, maximum: MAX_BEAMS }),
  /** The best of so many are answered. */
  answers: Type.Integer({ minimum: 1, maximum: MAX_BEAMS }),
  lengthPenalty: Type.Number({ minimum: -10, maximum: 10 }),
  earlyStopping: Type.Union([Type.Boolean(), Type.Literal('never')])
}, { additionalProperties: false })
export type BeamWork = Static<typeof BeamWorkSchema>

export const SequenceRequestSchema = Type.Object({
  /** Shown in logs of both processes. */
  id: Type.String(),
  tenant: Type.String(),
  /** Of the tenant; absent: 1. */
  weight: Type.Optional(Type.Number({ exclusiveMinimum: 0 })),
  /** Digest of the artifact whose prompt stands in front; null: the bare base. */
  prompt: Type.Union([DigestText, Type.Null()]),
  /**
   * Prompts that answer together with `prompt`, by the mean of the log-probabilities, added up in this order; absent: none.
   * The process is chosen by `prompt` alone, so that all requests to one ensemble find the others warm there too.
   */
  ensemble: Type.Optional(Type.Array(DigestText, { minItems: 1, maxItems: MAX_MEMBERS - 1 })),
  /** The rendered template, tokenized; at least one. */
  inputIds: Type.Array(Id, { minItems: 1 }),
  /**
   * So many first ids are the same for every input of the task, and run once for all: they are always a run of their own,
   * so that the answer is the same to the bit whether that has happened or not. Fewer than there are; not for the bare base.
   */
  fixedTokens: Type.Optional(Type.Integer({ minimum: 1 })),
  work: Type.Union([
    /** Softmax over the label rows of the prompt's artifact, at the last position. */
    Type.Object({ kind: Type.Literal('classify') }, { additionalProperties: false }),
    Type.Object({
      kind: Type.Literal('generate'),
      maxTokens: Type.Integer({ minimum: 1 }),
      stopTokenIds: Type.Array(Id),
      sampling: SamplingSchema,
      /** Absent: none. */
      penalties: Type.Optional(PenaltiesSchema),
      /** Absent: any text. What ends with `stop` satisfies it. */
      output: Type.Optional(OutputSchema),
      /** How many most likely tokens are reported beside the chosen one; null: no log-probabilities. */
      logprobs: Type.Union([Type.Integer({ minimum: 0, maximum: 20 }), Type.Null()])
    }, { additionalProperties: false }),
    BeamWorkSchema
  ])
}, { additionalProperties: false })
export type SequenceRequest = Static<typeof SequenceRequestSchema> & { readonly prompt: Digest | null, readonly ensemble?: readonly Digest[] }

/** Of the tenant in what is served. */
export function weightOf ({ weight = 1 }: Pick<SequenceRequest, 'weight'>): number {
  return weight
}

/** How often its input and its answer run through the model. */
export function membersOf ({ ensemble = [] }: Pick<SequenceRequest, 'ensemble'>): number {
  return 1 + ensemble.length
}

export interface Timing {
  /** Milliseconds from arrival to the first step, then by phase. */
  readonly queueMs: number, readonly prefillMs: number, readonly decodeMs: number
}

/** `ids` without the stop token; `score` is the sum of log-probabilities, that of the stop token too, / tokens^lengthPenalty. */
export interface BeamAnswer { readonly ids: readonly number[], readonly score: number, readonly reason: 'stop' | 'length' }

export type SequenceEvent =
  | { readonly type: 'token', readonly id: number, readonly logprob?: number, readonly top?: ReadonlyArray<readonly [id: number, logprob: number]> }
  /** Probabilities in the order of the artifact's labels; `logits` are their raw scores, of an ensemble the mean log-probabilities. */
  | { readonly type: 'scores', readonly probabilities: readonly number[], readonly logits: readonly number[], readonly virtualTokens: number, readonly timing: Timing }
  /** The stop token itself is never sent as a token event. */
  | { readonly type: 'finished', readonly reason: 'stop' | 'length', readonly virtualTokens: number, readonly timing: Timing }
  /** The best first; `generated` counts the tokens of all beams, those of beams that were dropped too. */
  | { readonly type: 'beams', readonly beams: readonly BeamAnswer[], readonly generated: number, readonly virtualTokens: number, readonly timing: Timing }
  | { readonly type: 'failed', readonly code: ErrorCode, readonly message: string }

export interface StatusReport extends ServiceStatus {
  /** New at each start of the process. */
  readonly id: string
}

/** Of the prompts in memory. Totals count since the start of the process. */
export interface PromptCounts {
  /** Compiled ones, with and without fixed tokens of a template behind them, and their bytes. */
  readonly promptsCached: number
  readonly promptCacheBytes: number
  /** Of those, the bytes of which requests that have not started are in need. */
  readonly promptBytesInUse: number
  /** Those whose embeddings are kept to compile them again, and their bytes. */
  readonly promptEmbeddings: number
  readonly promptEmbeddingBytes: number
  /** Requests that found their prompt compiled, and that did not. */
  readonly promptHitsTotal: number
  readonly promptMissesTotal: number
  /** Prompts made ready from embeddings in memory, and from the store. */
  readonly promptEmbeddingHitsTotal: number
  readonly promptEmbeddingMissesTotal: number
  readonly promptCompilesTotal: number
  /** Virtual tokens that went through the model. */
  readonly promptTokensPrefilledTotal: number
  /** Fixed tokens of templates that went through the model, and those of inputs that did not because others had. */
  readonly fixedTokensPrefilledTotal: number
  readonly fixedTokensReusedTotal: number
}

/** Before the first prompt. */
export const NO_PROMPTS: PromptCounts = {
  promptsCached: 0, promptCacheBytes: 0, promptBytesInUse: 0, promptEmbeddings: 0, promptEmbeddingBytes: 0, promptHitsTotal: 0, promptMissesTotal: 0,
  promptEmbeddingHitsTotal: 0, promptEmbeddingMissesTotal: 0, promptCompilesTotal: 0, promptTokensPrefilledTotal: 0,
  fixedTokensPrefilledTotal: 0, fixedTokensReusedTotal: 0
}

export interface ServiceStatus extends PromptCounts {
  readonly ready: boolean
  readonly base: Digest
  readonly servingGraph: Digest
  readonly format: 'float32' | 'w8a8'
  readonly engine: 'c-api' | 'stock'
  /** Positions of one slot. */
  readonly maxContext: number
  readonly slots: number
  readonly running: number
  readonly waiting: number
  readonly stepsTotal: number
  readonly tokensTotal: number
  /** Inputs that were taken in together with others. */
  readonly packedInputsTotal: number
}
