/** Requests in random company, each compared with itself alone: for the tests on a tiny base and the benchmark on a real one. */
import { isDeepStrictEqual } from 'node:util'
import type { Output } from '../../src/constraint/output.js'
import type { Digest } from '../../src/digest.js'
import type { SequenceEvent, SequenceRequest } from '../../src/inference/protocol.js'
import type { RunningService } from '../../src/inference/start-service.js'
import type { Base } from '../../src/model/base.js'
import { type Method, METHODS } from '../../src/prompt/methods.js'
import { type Below, Company } from './company.js'
import { beamSearch, classification, collect, ensemble, generate, type MemoryArtifacts, promptFiles, untimed } from './tiny-service.js'

/** Coprime to the number of tasks, so that the requests of a mix are of different tasks. */
const STRIDE = 7
/** Coprime to the number of tasks too: every task keeps some of its own requests. */
const BARE_EVERY = 17
const BEAMS_EVERY = 11
const ENSEMBLE_EVERY = 13
const FIXED_EVERY = 5
const MAX_FIXED = 12
const OUTPUT_EVERY = 5
const HANG_UP_EVERY = 4
const PENALTIES = [{ repetition: 1.3, presence: 0, frequency: 0 }, { repetition: 1, presence: 0.5, frequency: 0.7 }, { repetition: 0.8, presence: -1, frequency: 0.1 }, { repetition: 2, presence: 1, frequency: 2 }]

const OUTPUTS: readonly Output[] = [
  { choices: ['yes', 'no', 'yes and no'] },
  { regex: '[a-z ]{3,12}' },
  { json_schema: { type: 'object', properties: { a: { type: 'string', maxLength: 6 }, b: { type: 'integer' } }, required: ['b'] } }
]

export interface PublishedTask { readonly digest: Digest, readonly classifies: boolean }

export interface PromptNumbers {
  /** One number of a prompt. */
  readonly value: (method: Method) => number
  /** One number of a label vector. */
  readonly labelValue: () => number
}

/** Prompts of both methods and of each length, for classification (both verbalizers) and generation. */
export function publishTasks (artifacts: MemoryArtifacts, base: Base, lengths: readonly number[], { value, labelValue }: PromptNumbers): PublishedTask[] {
  const { hiddenSize } = base.manifest.config
  return METHODS.flatMap(method => lengths.flatMap(virtualTokens => (['vectors', 'tokens', null] as const).map(verbalizer => ({
    classifies: verbalizer !== null,
    digest: artifacts.put(promptFiles(base, {
      method, virtualTokens, value: () => value(method),
      ...(verbalizer === null ? {} : { labelTokens: [5, 9, 200] }),
      ...(verbalizer === 'vectors' ? { labelVectors: Float32Array.from({ length: 3 * hiddenSize }, labelValue) } : {})
    }))
  }))))
}

export interface RequestOptions {
  readonly input: (index: number) => number[]
  readonly maxTokens: () => number
  readonly stopTokenIds: () => number[]
}

/** Requests to the tasks in turn: classification, and generation in rounds greedy and sampled, with log-probabilities, penalties and outputs and without, some by beams; some to ensembles, some to the bare base; some with fixed tokens in front. */
export function requestsTo (tasks: readonly PublishedTask[], count: number, options: RequestOptions): SequenceRequest[] {
  return Array.from({ length: count }, (_, index) => {
    const request = requestTo(tasks, index, options)
    if (request.prompt === null || index % FIXED_EVERY !== 0) return request
    const fixed = Array.from({ length: 1 + index % MAX_FIXED }, (__, place) => 3 + 5 * place)
    return { ...request, inputIds: [...fixed, ...request.inputIds], fixedTokens: fixed.length }
  })
}

function requestTo (tasks: readonly PublishedTask[], index: number, { input, maxTokens, stopTokenIds }: RequestOptions): SequenceRequest {
  const task = tasks[index % tasks.length]!
  const prompt = index % BARE_EVERY === BARE_EVERY - 1 ? null : task.digest
  const alike = tasks.filter(({ classifies, digest }) => classifies === task.classifies && digest !== task.digest).map(({ digest }) => digest)
  const together = (request: SequenceRequest): SequenceRequest => prompt !== null && index % ENSEMBLE_EVERY < 2 ? ensemble(request, alike.slice(index % 3, index % 3 + 1 + index % 4)) : request
  if (task.classifies && prompt !== null) return together(classification(input(index), prompt))
  if (index % BEAMS_EVERY === BEAMS_EVERY - 1) return beamSearch(input(index), { prompt, maxTokens: maxTokens(), stopTokenIds: stopTokenIds(), beams: 2 + index % 3, answers: 2 })
  const greedy = Math.floor(index / tasks.length) % 2 === 0
  const sampling = greedy ? {} : { temperature: 0.9, topK: index % 2 === 0 ? 40 : 0, topP: 0.95, seed: index, sample: index % 3 }
  const penalties = index % 3 === 0 ? { penalties: PENALTIES[index % PENALTIES.length]! } : {}
  const output = index % OUTPUT_EVERY === 1 ? { output: OUTPUTS[index % OUTPUTS.length]! } : {}
  return together(generate(input(index), { prompt, maxTokens: maxTokens(), stopTokenIds: stopTokenIds(), sampling, ...penalties, ...output, logprobs: index % 4 === 0 ? 3 : null }))
}

/** A request and its events when nothing else runs, without the times. */
export interface Known { readonly request: SequenceRequest, readonly alone: readonly unknown[] }

export async function runAlone (service: RunningService, requests: readonly SequenceRequest[]): Promise<Known[]> {
  const known: Known[] = []
  for (const request of requests) known.push({ request, alone: untimed(await collect(service, request)) })
  return known
}

export interface MixAnswer { readonly known: Known, readonly events: readonly SequenceEvent[], readonly same: boolean }
export interface MixResult {
  readonly mix: number
  readonly answers: readonly MixAnswer[]
  /** Requests beside them that hung up. */
  readonly left: number
}

/** `mixes` rounds of `inFlight` requests of several tenants that arrive while others run, beside some that hang up. */
export async function * runMixes (service: RunningService, pool: readonly Known[], { mixes, inFlight, below }: { readonly mixes: number, readonly inFlight: number, readonly below: Below }): AsyncGenerator<MixResult> {
  for (let mix = 0; mix < mixes; mix++) {
    const first = below(pool.length)
    const company = new Company(service, below)
    const answers: Array<Promise<MixAnswer>> = []
    for (let index = 0; index < inFlight; index++) {
      const known = pool[(first + index * STRIDE) % pool.length]!
      await company.moment()
      if (below(HANG_UP_EVERY) === 0) company.sendAndHangUp(pool[below(pool.length)]!.request)
      answers.push(company.send(known.request).then(events => ({ known, events, same: isDeepStrictEqual(untimed(events), known.alone) })))
    }
    yield { mix, answers: await Promise.all(answers), left: await company.gone() }
  }
}
