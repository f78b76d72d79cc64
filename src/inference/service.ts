/** From a request to a sequence in the step loop: checks, prompt, admission. Everything behind it is numbers. */
import type { Logger } from 'pino'
import type { Digest } from '../digest.js'
import { ServiceError } from '../errors.js'
import type { BaseManifest, ServingFormat } from '../model/base.js'
import { admit, withdraw } from './admission.js'
import { newBeamSearch } from './beam-rows.js'
import { candidatesOf } from './beam-search.js'
import type { CompiledPrompt } from './compiled-prompt.js'
import type { EngineKind } from './engine/engine.js'
import { newEnsemble } from './ensemble-rows.js'
import type { OutputConstraints, PinnedMasks } from './output-constraints.js'
import type { PinnedPrompt, PromptCache } from './prompt-cache.js'
import { type BeamWork, membersOf, type SequenceEvent, type SequenceRequest, type ServiceStatus, weightOf } from './protocol.js'
import type { Row } from './row.js'
import { RequestPrompts } from './request-prompts.js'
import { Sequence, type SequenceOptions } from './sequence.js'
import type { StepLoop } from './step-loop.js'

export interface ServiceOptions {
  readonly manifest: BaseManifest
  readonly format: ServingFormat
  readonly engine: EngineKind
  /** Positions of one slot. */
  readonly maxContext: number
  readonly loop: StepLoop
  readonly prompts: PromptCache
  readonly outputs: OutputConstraints
  readonly logger: Logger
}

export class InferenceService {
  readonly #options: ServiceOptions
  /** [vocabulary] Steps are answered one row after another, so that one is enough. */
  readonly #scratch: Float32Array
  #arrivals = 0
  /** Accepted and not ended. */
  #active = 0
  #whenQuiet: () => void = () => {}
  #stopping = false

  constructor (options: ServiceOptions) {
    this.#options = options
    this.#scratch = new Float32Array(options.manifest.config.vocabSize)
  }

  /**
   * Put a request in the queue; resolves when it is accepted, `emit` hears the rest. Aborting cancels it: it says no
   * more, and its slot is free before the next step.
   * @throws ServiceError `saturated`, `inference_unavailable`, `invalid_request`, `context_too_long`, or what loading the prompt or compiling the output says
   */
  async submit (request: SequenceRequest, signal: AbortSignal, emit: (event: SequenceEvent) => void): Promise<void> {
    const { loop, outputs, logger } = this.#options
    const arrivedAt = performance.now()
    if (this.#stopping) throw new ServiceError('inference_unavailable', 'the inference process is stopping', { retryAfter: 2 })
    this.#check(request)
    const arrival = this.#arrivals++
    admit(loop.schedule, arrival, request.tenant, weightOf(request))
    this.#active++
    let prompts: RequestPrompts | null = null
    let masks: PinnedMasks | null = null
    const leave = (): void => {
      prompts?.releaseAll()
      masks?.release()
      if (--this.#active === 0) this.#whenQuiet()
    }
    try {
      masks = request.work.kind !== 'generate' || request.work.output === undefined ? null : await outputs.acquire(request.work.output, request.tenant)
      signal.throwIfAborted()
      const pinned = await this.#prefixesOf(request, arrival)
      prompts = new RequestPrompts(pinned)
      signal.throwIfAborted()
      const maxTokens = this.#roomFor(request, pinned.map(({ value }) => value))
      const options: SequenceOptions = {
        arrival, request, prompts, constraint: masks === null ? null : { masks: masks.value, scratch: this.#scratch },
        maxTokens, arrivedAt, emit,
        onEnd: () => {
          signal.removeEventListener('abort', cancel)
          leave()
          logger.debug({ request: request.id, tenant: request.tenant, inputTokens: request.inputIds.length, generatedTokens: sequence.generated, cancelled: sequence.cancelled }, 'sequence ended')
        }
      }
      const sequence = this.#rowOf(options)
      const cancel = (): void => loop.cancel(sequence)
      signal.addEventListener('abort', cancel, { once: true })
      loop.submit(sequence)
    } catch (error) {
      withdraw(loop.schedule, arrival)
      leave()
      throw error
    }
  }

  /** Make a prompt ready before anyone asks for it, as far as memory lasts. @throws ServiceError as `submit` */
  async preload (prompt: Digest): Promise<void> {
    await this.#options.prompts.preload(prompt, this.#arrivals++)
  }

  status (): ServiceStatus {
    const { manifest, format, engine, maxContext, loop, prompts } = this.#options
    return {
      ready: !this.#stopping,
      base: manifest.digest,
      servingGraph: manifest.serving[format].digest,
      format,
      engine,
      maxContext,
      slots: loop.schedule.slots,
      running: loop.schedule.rows.length,
      waiting: loop.schedule.waiting.length + loop.schedule.loading.size,
      ...prompts.counts,
      stepsTotal: loop.stepsTotal,
      tokensTotal: loop.tokensTotal,
      packedInputsTotal: loop.packedInputsTotal
    }
  }

  /** Refuse what is new and let what was accepted finish; what is left after `graceMs` is told that it was cut off. */
  async stop (graceMs: number): Promise<void> {
    this.#stopping = true
    let timer: NodeJS.Timeout | undefined
    await new Promise<void>(resolve => {
      this.#whenQuiet = resolve
      if (this.#active === 0) resolve()
      timer = setTimeout(resolve, graceMs)
    })
    clearTimeout(timer)
    await this.#options.loop.close(new ServiceError('inference_unavailable', 'the inference process stopped', { retryAfter: 2 }))
  }

  #rowOf (options: SequenceOptions): Row {
    const { request: { work }, prompts } = options
    if (work.kind === 'beams') return newBeamSearch(options, work)
    if (prompts.count < 2) return new Sequence(options)
    const { hiddenSize, vocabSize } = this.#options.manifest.config
    return newEnsemble({ ...options, choices: work.kind === 'classify' ? prompts.labelsOf(0).length / hiddenSize : vocabSize })
  }

  async #prefixesOf (request: SequenceRequest, arrival: number): Promise<PinnedPrompt[]> {
    const { prompt, ensemble = [], inputIds, fixedTokens } = request
    if (prompt === null) return []
    const fixed = fixedTokens === undefined ? null : { ids: inputIds.slice(0, fixedTokens), check: (compiled: CompiledPrompt) => { this.#roomFor(request, [compiled]) } }
    return await this.#options.prompts.acquireAll([prompt, ...ensemble], fixed, { arrival, tenant: request.tenant })
  }

  #check (request: SequenceRequest): void {
    const { inputIds, fixedTokens = 0, prompt, work } = request
    const { vocabSize } = this.#options.manifest.config
    const unknown = inputIds.find(id => id >= vocabSize)
    if (unknown !== undefined) throw new ServiceError('invalid_request', `token id ${unknown}, this base has ${vocabSize}`, { param: 'inputIds' })
    if (fixedTokens >= inputIds.length) throw new ServiceError('invalid_request', `${fixedTokens} fixed tokens of ${inputIds.length}: one at least must be left to run`, { param: 'fixedTokens' })
    // Nobody's own: from the time of an answer another tenant could tell what was asked.
    if (fixedTokens > 0 && prompt === null) throw new ServiceError('invalid_request', 'the bare base has no template', { param: 'fixedTokens' })
    if (work.kind === 'beams') this.#checkBeams(work)
    if (membersOf(request) > 1) this.#checkEnsemble(request)
    if (prompt === null && work.kind === 'classify') throw new ServiceError('invalid_request', 'the bare base has no labels', { param: 'work/kind' })
  }

  #checkBeams (work: BeamWork): void {
    const { slots } = this.#options.loop.schedule
    const { vocabSize } = this.#options.manifest.config
    if (work.beams > slots) throw new ServiceError('invalid_request', `${work.beams} beams, this service runs ${slots} rows at once`, { param: 'num_beams' })
    if (candidatesOf(work) > vocabSize) throw new ServiceError('invalid_request', `${work.beams} beams need ${candidatesOf(work)} tokens to choose from, this base has ${vocabSize}`, { param: 'num_beams' })
    if (work.answers > work.beams) throw new ServiceError('invalid_request', `${work.answers} answers of ${work.beams} beams`, { param: 'n' })
  }

  #checkEnsemble (request: SequenceRequest): void {
    const { slots } = this.#options.loop.schedule
    const { prompt, work } = request
    const members = membersOf(request)
    if (prompt === null) throw new ServiceError('invalid_request', 'the bare base is no member of an ensemble', { param: 'ensemble' })
    if (work.kind === 'beams') throw new ServiceError('invalid_request', 'ensemble is not for beam search', { param: 'ensemble' })
    if (work.kind === 'generate' && members > slots) throw new ServiceError('invalid_request', `${members} members, this service runs ${slots} rows at once`, { param: 'ensemble' })
  }

  /** Tokens that may be generated: the request's own limit or what the slot of the longest prompt leaves. */
  #roomFor ({ inputIds, work }: SequenceRequest, prompts: readonly CompiledPrompt[]): number {
    const { maxContext } = this.#options
    if (work.kind === 'classify') checkLabels(prompts)
    const virtualTokens = Math.max(0, ...prompts.map(prompt => prompt.virtualTokens))
    const room = maxContext - virtualTokens - inputIds.length
    if (room < (work.kind === 'classify' ? 0 : 1)) {
      const answer = work.kind === 'classify' ? '' : ' and no room for an answer'
      throw new ServiceError('context_too_long', `${inputIds.length} tokens of input behind ${virtualTokens} virtual tokens${answer}, limit ${maxContext}`, { param: 'input' })
    }
    return work.kind === 'classify' ? 0 : Math.min(work.maxTokens, room)
  }
}

/** @throws ServiceError `invalid_request` unless all have labels, and equally many */
function checkLabels (prompts: readonly CompiledPrompt[]): void {
  const [first] = prompts
  for (const { labels } of prompts) {
    if (labels === null) throw new ServiceError('invalid_request', 'this prompt was trained for generation and has no labels', { param: 'work/kind' })
    if (labels.length !== first!.labels!.length) throw new ServiceError('invalid_request', 'members of an ensemble have different labels', { param: 'ensemble' })
  }
}
