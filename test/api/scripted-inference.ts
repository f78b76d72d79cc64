import { digestOf } from '../../src/digest.js'
import type { InferenceClient, ReplicaStatus } from '../../src/inference/client-contract.js'
import { NO_PROMPTS, type SequenceEvent, type SequenceRequest } from '../../src/inference/protocol.js'
import { byteTokenizer } from './byte-tokenizer.js'

const timing = { queueMs: 1, prefillMs: 2, decodeMs: 3 }

export type Script = (request: SequenceRequest, signal: AbortSignal) => AsyncIterable<SequenceEvent> | Iterable<SequenceEvent>

/** The other side of the boundary in two methods: what a sequence answers is a function of its request. */
export class ScriptedInference implements InferenceClient {
  readonly requests: SequenceRequest[] = []
  /** Ids of sequences that were left or aborted before their last event. */
  readonly cancelled: string[] = []
  script: Script = scores
  /** Whether it is there at all, and whether it takes requests. */
  answers = true
  ready = true
  #onCancel: () => void = () => {}

  async * run (request: SequenceRequest, signal: AbortSignal): AsyncGenerator<SequenceEvent> {
    this.requests.push(request)
    let complete = false
    try {
      for await (const event of this.script(request, signal)) {
        signal.throwIfAborted()
        complete = event.type !== 'token'
        yield event
      }
    } finally {
      if (!complete) {
        this.cancelled.push(request.id)
        this.#onCancel()
      }
    }
  }

  /** Resolves when the next sequence is cancelled. */
  nextCancel (): Promise<void> {
    return new Promise(resolve => { this.#onCancel = resolve })
  }

  replicas (): ReplicaStatus[] {
    if (!this.answers) return [{ url: 'unix:/one.sock', status: null }]
    const digest = digestOf('graph')
    const status = { id: 'one', ready: this.ready, base: digest, servingGraph: digest, format: 'float32', engine: 'stock', maxContext: 64, slots: 4, running: 0, waiting: 0, ...NO_PROMPTS, stepsTotal: 7, tokensTotal: 9, packedInputsTotal: 0 } as const
    return [{ url: 'unix:/one.sock', status }]
  }

  async close (): Promise<void> {}
}

/** The label whose number is the text's length modulo two gets 0.75. */
export function * scores ({ inputIds }: SequenceRequest): Generator<SequenceEvent> {
  const odd = inputIds.length % 2
  yield { type: 'scores', probabilities: odd === 1 ? [0.25, 0.75] : [0.75, 0.25], logits: [0, 0], virtualTokens: 16, timing }
}

/** One token event for each byte of the text, at most `maxTokens`. */
export function says (text: string, options: { virtualTokens?: number, logprobs?: boolean } = {}): Script {
  return function * ({ work }) {
    if (work.kind !== 'generate') throw new Error('the test asked for a classification')
    const ids = byteTokenizer.encode(text)
    for (const id of ids.slice(0, work.maxTokens)) {
      yield options.logprobs === true ? { type: 'token', id, logprob: -0.5, top: [[id, -0.5], [65, -1]] } : { type: 'token', id }
    }
    yield { type: 'finished', reason: ids.length > work.maxTokens ? 'length' : 'stop', virtualTokens: options.virtualTokens ?? 0, timing }
  }
}

/** Refuses before the first event. */
export function refuses (error: Error): Script {
  // oxlint-disable-next-line require-yield -- it has nothing to say
  return function * () { throw error }
}

/** Says the text and then nothing more until it is aborted. */
export function saysAndHangs (text: string): Script {
  return async function * (_request, signal) {
    for (const id of byteTokenizer.encode(text)) yield { type: 'token', id }
    await new Promise((_resolve, reject) => { signal.addEventListener('abort', () => reject(signal.reason)) })
  }
}
