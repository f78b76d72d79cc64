/** A model behind the real import and the real inference service in float32, and what single requests get from it. */
import { EventEmitter, once } from 'node:events'
import { pino } from 'pino'
import type { Digest } from '../../src/digest.js'
import { ServiceError } from '../../src/errors.js'
import type { Engine, EngineOptions, StepInput, StepOutput } from '../../src/inference/engine/engine.js'
import { openEngine } from '../../src/inference/engine/open-engine.js'
import type { BeamAnswer, BeamWork, SequenceEvent, SequenceRequest } from '../../src/inference/protocol.js'
import { logProbabilities } from '../../src/inference/sampler.js'
import { type RunningService, startService } from '../../src/inference/start-service.js'
import type { Base } from '../../src/model/base.js'
import { loadTokenizer } from '../../src/model/bpe-tokenizer.js'
import { importBase } from '../../src/model/import.js'
import type { Tokenizer } from '../../src/model/tokenizer.js'
import type { ArtifactFiles } from '../../src/prompt/artifact.js'
import { artifactDigest } from '../../src/prompt/artifact-digest.js'

export interface GreedyAnswer {
  /** Without the end token. */
  readonly ids: readonly number[]
  readonly reason: 'stop' | 'length'
  /** Of the chosen token of each step, the end token included. NaN where only the logits could say it and others shared the step. */
  readonly logprobs: readonly number[]
  /** Raw logits of each step, the end token's included; null where other requests shared the step. */
  readonly stepLogits: ReadonlyArray<Float32Array | null>
}

/** More than any batch of the references has rows, so that they are in flight together. */
const SLOTS = 32
const LONGEST_CONTEXT = 4096
const GREEDY = { temperature: 0, topK: 0, topP: 1, minP: 0, seed: 0 }

/** Remembers the logits of the last step: events of a step are heard before the next one starts. */
class Recorder implements Engine {
  readonly #engine: Engine
  /** What it serves has no lanes graph. */
  readonly pack = null
  last: Float32Array = new Float32Array(0)
  mostRows = 0

  constructor (engine: Engine) { this.#engine = engine }
  get kind (): Engine['kind'] { return this.#engine.kind }
  get arena (): Engine['arena'] { return this.#engine.arena }
  async step (input: StepInput): Promise<StepOutput> {
    const output = await this.#engine.step(input)
    this.last = output.logits
    this.mostRows = Math.max(this.mostRows, input.rows)
    return output
  }

  giveBack (from: number, to: number): void { this.#engine.giveBack(from, to) }
  async close (): Promise<void> { await this.#engine.close() }
}

export class ServedBase {
  readonly base: Base
  readonly tokenizer: Tokenizer
  readonly #running: RunningService
  readonly #recorder: Recorder
  readonly #artifacts: Map<Digest, ArtifactFiles>

  private constructor (base: Base, tokenizer: Tokenizer, running: RunningService, recorder: Recorder, artifacts: Map<Digest, ArtifactFiles>) {
    this.base = base
    this.tokenizer = tokenizer
    this.#running = running
    this.#recorder = recorder
    this.#artifacts = artifacts
  }

  /** @param source a GGUF file or a Hugging Face folder @param home takes the imported base */
  static async open (source: string, home: string): Promise<ServedBase> {
    const base = await importBase(source, home, () => {})
    const artifacts = new Map<Digest, ArtifactFiles>()
    const store = {
      async get (digest: Digest): Promise<ArtifactFiles> {
        const files = artifacts.get(digest)
        if (files === undefined) throw new ServiceError('version_not_found', `there is no artifact ${digest}`)
        return files
      }
    }
    let recorder: Recorder | null = null
    const open = async (options: EngineOptions): Promise<Engine> => {
      recorder = new Recorder(await openEngine({ ...options, maxHiddenRows: Math.max(options.positions, options.slots) }, reason => { throw reason }))
      return recorder
    }
    const settings = { format: 'float32', slots: SLOTS, maxContext: LONGEST_CONTEXT, maxWaiting: 1024, promptCacheBytes: 2 ** 26, promptEmbeddingBytes: 2 ** 26, threads: 1 } as const
    const running = await startService(base, store, settings, pino({ level: 'silent' }), open)
    return new ServedBase(base, await loadTokenizer(base.folder), running, recorder!, artifacts)
  }

  /** Most requests that one step has run. */
  get mostRows (): number { return this.#recorder.mostRows }
  get endIds (): readonly number[] { return this.base.manifest.config.eosTokenIds }

  publish (files: ArtifactFiles): Digest {
    const digest = artifactDigest(files)
    this.#artifacts.set(digest, files)
    return digest
  }

  /** [ids.length, vocabulary]: every position of one text, straight through the serving graph. Not while requests run. */
  async logits (ids: readonly number[]): Promise<Float32Array> {
    const every = ids.map((_, i) => i)
    const { logits } = await this.#recorder.step({ firstSlot: 0, rows: 1, ids, lengths: [ids.length], hiddenRows: every, logitRows: every })
    return logits.slice()
  }

  async greedy (inputIds: readonly number[], maxTokens: number, prompt: Digest | null = null): Promise<GreedyAnswer> {
    const { vocabSize } = this.base.manifest.config
    const ids: number[] = []
    const logprobs: number[] = []
    const stepLogits: Array<Float32Array | null> = []
    const heard = new EventEmitter()
    const ended = once(heard, 'end') as Promise<[SequenceEvent]>
    const work = { kind: 'generate' as const, maxTokens, stopTokenIds: [...this.endIds], sampling: GREEDY, logprobs: 0 } satisfies SequenceRequest['work']
    await this.#running.service.submit({ id: 'parity', tenant: 'parity', prompt, inputIds: [...inputIds], work }, new AbortController().signal, event => {
      const stopped = event.type === 'finished' && event.reason === 'stop'
      if (event.type === 'token' || stopped) stepLogits.push(this.#recorder.last.length === vocabSize ? this.#recorder.last.slice() : null)
      if (event.type === 'token') {
        ids.push(event.id)
        logprobs.push(event.logprob ?? NaN)
        return
      }
      heard.emit('end', event)
    })
    const [last] = await ended
    if (last.type === 'failed') throw new Error(`${last.code}: ${last.message}`)
    if (last.type !== 'finished') throw new Error(`a generation ended with ${last.type}`)
    const final = stepLogits.at(-1)
    if (last.reason === 'stop') logprobs.push(final ? Math.max(...this.endIds.map(id => logProbabilities(final, id, 0).logprob)) : NaN)
    return { ids, reason: last.reason, logprobs, stepLogits }
  }

  /** Best first. */
  async beams (inputIds: readonly number[], options: Omit<BeamWork, 'kind' | 'stopTokenIds'>, prompt: Digest | null = null): Promise<readonly BeamAnswer[]> {
    const heard = new EventEmitter()
    const ended = once(heard, 'end') as Promise<[SequenceEvent]>
    const work = { kind: 'beams', stopTokenIds: [...this.endIds], ...options } satisfies BeamWork
    await this.#running.service.submit({ id: 'parity', tenant: 'parity', prompt, inputIds: [...inputIds], work }, new AbortController().signal, event => { heard.emit('end', event) })
    const [last] = await ended
    if (last.type === 'failed') throw new Error(`${last.code}: ${last.message}`)
    if (last.type !== 'beams') throw new Error(`a beam search ended with ${last.type}`)
    return last.beams
  }

  async close (): Promise<void> {
    await this.#running.stop(0)
  }
}
