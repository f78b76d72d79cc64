/** An inference service around a test base, with artifacts in memory and requests as one-liners. */
import { EventEmitter, once } from 'node:events'
import { pino } from 'pino'
import type { Output } from '../../src/constraint/output.js'
import type { Digest } from '../../src/digest.js'
import { ServiceError } from '../../src/errors.js'
import { CApiEngine } from '../../src/inference/engine/c-api.js'
import type { Engine, EngineOptions } from '../../src/inference/engine/engine.js'
import type { BeamWork, Penalties, Sampling, SequenceEvent, SequenceRequest } from '../../src/inference/protocol.js'
import { startService, type RunningService, type ServiceSettings } from '../../src/inference/start-service.js'
import type { Base } from '../../src/model/base.js'
import type { ArtifactFiles } from '../../src/prompt/artifact.js'
import { writeArtifact } from '../../src/prompt/artifact-files.js'
import { artifactDigest } from '../../src/prompt/artifact-digest.js'
import type { Method } from '../../src/prompt/methods.js'
import { promptColumns } from '../../src/prompt/peft.js'
import type { TaskSpec } from '../../src/prompt/task-spec.js'

export const SETTINGS: ServiceSettings = { format: 'float32', slots: 8, maxContext: 640, maxWaiting: 64, promptCacheBytes: 2 ** 24, promptEmbeddingBytes: 2 ** 24, threads: 2 }

export class MemoryArtifacts {
  readonly #files = new Map<Digest, ArtifactFiles>()
  /** How often artifacts were read. */
  gets = 0

  put (files: ArtifactFiles): Digest {
    const digest = artifactDigest(files)
    this.#files.set(digest, files)
    return digest
  }

  async get (digest: Digest): Promise<ArtifactFiles> {
    this.gets++
    const files = this.#files.get(digest)
    if (files === undefined) throw new ServiceError('version_not_found', `there is no artifact ${digest}`)
    return files
  }
}

export interface TestService extends RunningService { readonly artifacts: MemoryArtifacts }

export async function tinyService (base: Base, settings: Partial<ServiceSettings> = {}, open: (options: EngineOptions) => Promise<Engine> = CApiEngine.open): Promise<TestService> {
  const artifacts = new MemoryArtifacts()
  return { artifacts, ...await startService(base, artifacts, { ...SETTINGS, ...settings }, pino({ level: 'silent' }), open) }
}

/** Of which a step fails as ONNX Runtime does. @param fails asked before each step */
export function failingEngine (fails: () => boolean): (options: EngineOptions) => Promise<Engine> {
  return async options => {
    const engine: Engine = await CApiEngine.open(options)
    return {
      kind: engine.kind,
      arena: engine.arena,
      step: async input => {
        if (fails()) throw new Error('ONNX Runtime: out of memory')
        return await engine.step(input)
      },
      pack: engine.pack === null ? null : async input => {
        if (fails()) throw new Error('ONNX Runtime: out of memory')
        return await engine.pack!(input)
      },
      giveBack: (from, to) => engine.giveBack(from, to),
      close: async () => await engine.close()
    }
  }
}

export interface PromptOptions {
  readonly method: Method
  readonly virtualTokens: number
  /** Label tokens of a classification; absent: generation. */
  readonly labelTokens?: readonly number[]
  /** Label vectors instead of the tokens' head rows. */
  readonly labelVectors?: Float32Array
  readonly value: (index: number) => number
  readonly base?: Digest
}

/** The files of a prompt whose numbers come from `value`. */
export function promptFiles ({ manifest: { name, digest, config } }: Base, { method, virtualTokens, labelTokens, labelVectors, value, base }: PromptOptions): ArtifactFiles {
  const task: TaskSpec = labelTokens === undefined
    ? { kind: 'generation', template: '{input}', verbalizer: null }
    : {
        kind: 'classification', template: '{input}',
        verbalizer: { type: labelVectors === undefined ? 'tokens' : 'vectors', labels: labelTokens.map(tokenId => ({ name: `label ${tokenId}`, tokenId, piece: 'x', tokenIds: [tokenId] })) }
      }
  return writeArtifact({
    manifest: { schema: 1, base: base ?? digest, method, numVirtualTokens: virtualTokens, task, recipe: null, data: null, metrics: {}, seed: null, job: null, createdAt: '2000-01-01T00:00:00Z' },
    embeddings: Float32Array.from({ length: virtualTokens * promptColumns(method, config) }, (_, index) => value(index)),
    labelVectors: labelVectors ?? null
  }, { name, config })
}

const GREEDY = { temperature: 0, topK: 0, topP: 1, minP: 0, seed: 0 }

export function generate (inputIds: number[], options: { prompt?: Digest | null, maxTokens?: number, stopTokenIds?: number[], sampling?: Partial<Sampling>, penalties?: Penalties, output?: Output, logprobs?: number | null } = {}): SequenceRequest {
  const { prompt = null, maxTokens = 8, stopTokenIds = [], sampling = {}, penalties, output, logprobs = null } = options
  return { id: 'r', tenant: 't', prompt, inputIds, work: { kind: 'generate', maxTokens, stopTokenIds, sampling: { ...GREEDY, ...sampling }, ...(penalties === undefined ? {} : { penalties }), ...(output === undefined ? {} : { output }), logprobs } }
}

export function beamSearch (inputIds: number[], { prompt = null, ...options }: Partial<Omit<BeamWork, 'kind'>> & Pick<BeamWork, 'beams' | 'answers'> & { readonly prompt?: Digest | null }): SequenceRequest {
  return { id: 'r', tenant: 't', prompt, inputIds, work: { kind: 'beams', maxTokens: 8, stopTokenIds: [], lengthPenalty: 1, earlyStopping: false, ...options } }
}

export function classification (inputIds: number[], prompt: Digest): SequenceRequest {
  return { id: 'r', tenant: 't', prompt, inputIds, work: { kind: 'classify' } }
}

/** The request with `others` beside its prompt. */
export function ensemble (request: SequenceRequest, others: readonly Digest[]): SequenceRequest {
  return { ...request, ensemble: [...others] }
}

export interface Running {
  /** So far. */
  readonly events: SequenceEvent[]
  /** Resolves with all events after the last one. */
  readonly done: Promise<SequenceEvent[]>
}

/** @throws what `submit` says */
export async function submit ({ service }: RunningService, request: SequenceRequest, signal = new AbortController().signal, onEvent: (event: SequenceEvent) => void = () => {}): Promise<Running> {
  const events: SequenceEvent[] = []
  const ended = new EventEmitter()
  const done = once(ended, 'end').then(() => events)
  await service.submit(request, signal, event => {
    events.push(event)
    onEvent(event)
    if (event.type !== 'token') ended.emit('end')
  })
  return { events, done }
}

export async function collect (service: RunningService, request: SequenceRequest): Promise<SequenceEvent[]> {
  return await (await submit(service, request)).done
}

/** Events without the times, which differ from run to run. */
export function untimed (events: readonly SequenceEvent[]): unknown[] {
  return events.map(event => 'timing' in event ? { ...event, timing: null } : event)
}

export function tokenIds (events: readonly SequenceEvent[]): number[] {
  return events.flatMap(event => event.type === 'token' ? [event.id] : [])
}
