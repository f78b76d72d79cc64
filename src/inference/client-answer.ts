import { ServiceError } from '../errors.js'
import type { SequenceEvent } from './protocol.js'

/**
 * What of one answer was passed on, so that another process can take it up where the first one died: sampling is seeded
 * and a row does not depend on its company, so the other says the same again, and that is left out.
 */
export class PassedOn {
  readonly #tokens: number[] = []
  /** Tokens that the process now answering has said. */
  #said = 0

  get tokens (): number { return this.#tokens.length }

  /** A process begins, with its first token. */
  begin (): void {
    this.#said = 0
  }

  /**
   * @returns the event when it is new, null when it was passed on before
   * @throws ServiceError `inference_unavailable` when it contradicts what was passed on
   */
  filter (event: SequenceEvent): SequenceEvent | null {
    if (event.type === 'failed') return event
    const known = this.#tokens[this.#said]
    if (known === undefined) {
      if (event.type === 'token') this.#said = this.#tokens.push(event.id)
      return event
    }
    if (event.type !== 'token' || event.id !== known) {
      throw new ServiceError('inference_unavailable', 'the process that took this answer up does not give the same one', { retryAfter: 1 })
    }
    this.#said++
    return null
  }
}
