import type { SequenceEvent, SequenceRequest, StatusReport } from './protocol.js'

/** How the api reaches the inference process. */
export interface InferenceClient {
  /**
   * Events until `scores`, `finished` or `failed`. Ending the iteration early or aborting cancels the sequence.
   * @throws ServiceError `inference_unavailable`, `saturated`, `starting` (with retryAfter), `context_too_long`, `version_not_found`, `artifact_corrupt`, `wrong_base`
   */
  run (request: SequenceRequest, signal: AbortSignal): AsyncIterable<SequenceEvent>
  /** @throws ServiceError `inference_unavailable` */
  status (): Promise<StatusReport>
  close (): Promise<void>
}
