import type { SequenceEvent, SequenceRequest, StatusReport } from './protocol.js'

/** How the api reaches the inference processes. */
export interface InferenceClient {
  /**
   * Events until `scores`, `finished` or `failed`. Ending the iteration early or aborting cancels the sequence.
   * @throws ServiceError `inference_unavailable`, `saturated`, `starting` (with retryAfter), `context_too_long`, `version_not_found`, `artifact_corrupt`, `wrong_base`
   */
  run (request: SequenceRequest, signal: AbortSignal): AsyncIterable<SequenceEvent>
  /** Those of this api's base that are known now, as they were a second ago at most. */
  replicas (): readonly ReplicaStatus[]
  close (): Promise<void>
}

/** One inference process; `status` is null when it does not answer. */
export interface ReplicaStatus { readonly url: string, readonly status: StatusReport | null }
