/** What the application is built from. A test gives it its own; `main.ts` gives it the real ones. */
import type { Logger } from 'pino'
import type { Registry as MetricsRegistry } from 'prom-client'
import type { OutputCompiler } from '../constraint/compiler.js'
import type { InferenceClient } from '../inference/client-contract.js'
import type { BaseManifest } from '../model/base.js'
import type { Tokenizer } from '../model/tokenizer.js'
import type { ArtifactStore } from '../registry/store/artifact-store.js'
import type { ObjectStore } from '../registry/store/object-store.js'
import type { Registry } from '../registry/registry.js'

/** What the api needs from the tokenizer pool: ids of long texts, off the event loop. */
export interface TextEncoding {
  encode (text: string, options?: { addSpecial?: boolean, parseSpecial?: boolean }): Promise<number[]>
}

export interface ApiLimits {
  /** Positions of a slot: virtual tokens, input and answer together. */
  readonly maxContext: number
  readonly maxFileBytes: number
  /** Tokens of one backward pass that the workers have the memory for. */
  readonly maxMicroBatchTokens: number
  /** Items of one `inputs` call that are in flight at once. */
  readonly itemsAtOnce: number
}

export interface ApiServices {
  readonly registry: Registry
  readonly artifacts: ArtifactStore
  readonly objects: ObjectStore
  readonly inference: InferenceClient
  readonly base: BaseManifest
  readonly tokenizer: Tokenizer
  readonly tokenizerPool: TextEncoding
  /** Tells whether an output can be had, off the event loop. */
  readonly outputs: Pick<OutputCompiler, 'compile'>
  /** A user's message in the base's chat template, ready for the answer; null: this base has none. */
  readonly chatPrompt: ((message: string) => Promise<string>) | null
  readonly limits: ApiLimits
  /** Those of the process; the application adds its own. */
  readonly metrics: MetricsRegistry
  /** Fires when the process is told to stop: answers go on, and `/readyz` says that no more should be asked. */
  readonly stopping: AbortSignal
  readonly logger: Logger
}
