/** `POST /v1/tasks/{task}/infer`: a name and a text in, a label or a text out. */
import { randomBytes } from 'node:crypto'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { Type } from '@sinclair/typebox'
import { ServiceError } from '../../errors.js'
import { membersOf, type SequenceRequest } from '../../inference/protocol.js'
import type { Application } from '../application.js'
import { tenantOf } from '../auth.js'
import { asServiceError, errorObject, STATUS } from '../errors.js'
import { hangUpSignal } from '../hang-up.js'
import { FixedBeginnings } from '../infer/fixed-beginnings.js'
import { classificationWork, generationWork, type InferRequest, InferRequestSchema, samplesOf, stopStringsOf, type Work } from '../infer/infer-request.js'
import { inOrder } from '../infer/in-order.js'
import { asTextInput, inputIds } from '../infer/input-ids.js'
import { type AnswerHead, answerHead, InferAnswerSchema, type Outcome, type Usage } from '../infer/outcome.js'
import { allVirtualTokens, type PromptedModel, resolveModel } from '../infer/prompted-model.js'
import { runBeams } from '../infer/run-beams.js'
import { runClassification } from '../infer/run-classification.js'
import { type GenerationPart, runGeneration, wholeGeneration } from '../infer/run-generation.js'
import { runSamples } from '../infer/run-samples.js'
import type { Metrics } from '../metrics.js'
import type { ApiServices } from '../services.js'
import { replyWithEvents, type ServerSentEvent } from '../sse.js'
import { NoQuery, pathParameters, refusals } from '../wire.js'

/** 256 inputs at 16 KB each; a larger context brings larger inputs. */
const MIN_BODY_BYTES = 4 * 1024 * 1024
const BODY_BYTES_PER_POSITION = 64

interface Call {
  readonly request: FastifyRequest
  /** Of the tenant. */
  readonly weight: number
  readonly model: PromptedModel
  readonly head: AnswerHead
  readonly options: InferRequest
  readonly work: Work
  readonly signal: AbortSignal
}

export function inferRoutes (app: Application, services: ApiServices, metrics: Metrics): void {
  const { registry, inference, base, tokenizer, limits } = services
  const beginnings = new FixedBeginnings(services)

  app.post('/v1/tasks/:task/infer', {
    config: { scopes: ['infer'] },
    bodyLimit: Math.max(MIN_BODY_BYTES, limits.maxContext * BODY_BYTES_PER_POSITION),
    schema: {
      summary: 'Ask a task',
      description: 'task, task@alias, task@7, or the base\'s name for the frozen LM without a prompt. With `stream`, server-sent events: `start` (id, task, version, digest, method, ensemble), `text` (text, logprobs), then `finished` (finish_reason, usage, timing_ms) or `error`.',
      tags: ['inference'],
      params: pathParameters('task'),
      querystring: NoQuery,
      body: InferRequestSchema,
      response: { 200: { description: 'one answer, or `results` for `inputs`', content: { 'application/json': { schema: InferAnswerSchema }, 'text/event-stream': { schema: Type.String() } } }, ...refusals }
    }
  }, async (request, reply) => {
    const options = request.body
    checkShape(options)
    const signal = hangUpSignal(reply)
    const tenant = tenantOf(request)
    const [model, weight] = await Promise.all([resolveModel(registry, base, tenant, request.params.task, options.ensemble), registry.tenantWeight(tenant)])
    const work = model.spec?.kind === 'classification' ? classificationWork(options) : generationWork(options, base.config.eosTokenIds, model.spec?.output)
    const head = answerHead(`inf_${randomBytes(12).toString('hex')}`, model, base.digest)
    const call: Call = { request, weight, model, head, options, work, signal }
    if (options.inputs !== undefined) return { ...head, ...await many(call, options.inputs) }
    if (options.stream === true) return await stream(call, reply)
    return { ...head, ...await one(call, options.input, 'input', head.id) }
  })

  async function sequence ({ request, weight, model, options, work }: Call, input: unknown, param: string, id: string): Promise<SequenceRequest> {
    const ids = await inputIds(services, model, asTextInput(input, param), { chat: options.chat === true, param })
    const [prompt = null, ...ensemble] = model.versions.map(({ digest }) => digest)
    const fixedTokens = model.spec === null ? 0 : await beginnings.tokensOf(model.spec.template, ids)
    const wanted: SequenceRequest = { id, tenant: tenantOf(request), ...(weight === 1 ? {} : { weight }), prompt, ...(ensemble.length === 0 ? {} : { ensemble }), inputIds: ids, ...(fixedTokens === 0 ? {} : { fixedTokens }), work }
    metrics.observeTokens('prompt', ids.length * samplesOf(options) * membersOf(wanted))
    return wanted
  }

  function generation ({ model, options }: Call, wanted: SequenceRequest, signal: AbortSignal): AsyncGenerator<GenerationPart> {
    return runGeneration(inference, tokenizer, wanted, { stops: stopStringsOf(options), virtualTokens: allVirtualTokens(model), signal })
  }

  /** Items of so many rows that are asked for at the same time. */
  function atOnce (rows: number): number {
    return Math.max(1, Math.floor(limits.itemsAtOnce / rows))
  }

  async function one (call: Call, input: unknown, param: string, id: string): Promise<Outcome> {
    const wanted = await sequence(call, input, param, id)
    const labels = call.model.spec?.verbalizer?.labels.map(label => label.name)
    const outcome = labels === undefined
      ? await generated(call, wanted)
      : await runClassification(inference, wanted, labels, { scores: call.options.scores === true, signal: call.signal })
    metrics.observeTokens('completion', outcome.usage.completion_tokens)
    return outcome
  }

  async function generated (call: Call, wanted: SequenceRequest): Promise<Outcome> {
    if (wanted.work.kind === 'beams') return await runBeams(inference, tokenizer, wanted, call.signal)
    const samples = samplesOf(call.options)
    if (samples === 1) return await wholeGeneration(generation(call, wanted, call.signal))
    return await runSamples(wanted, { samples, atOnce: atOnce(rowsOf(call.model)), signal: call.signal }, async (sample, signal) => await wholeGeneration(generation(call, sample, signal)))
  }

  /** One bad input does not fail the others; but when nothing can be answered now, the whole call says so. */
  async function many (call: Call, inputs: readonly unknown[]): Promise<{ results: Array<Outcome | { error: ReturnType<typeof errorObject> }>, usage: Usage }> {
    const settled = await inOrder(inputs, atOnce(samplesOf(call.options) * rowsOf(call.model)), async (input, index) => {
      try {
        return await one(call, input, `inputs/${index}`, `${call.head.id}-${index}`)
      } catch (error) {
        call.signal.throwIfAborted()
        const refused = asServiceError(error)
        if (refused.code === 'internal') call.request.log.error({ err: error }, 'one of many inputs failed')
        return refused
      }
    })
    const refusals = settled.filter(result => result instanceof ServiceError)
    const [first] = refusals
    if (first !== undefined && refusals.length === inputs.length && refusals.every(error => STATUS[error.code] === 503)) throw first
    const usage: Usage = { prompt_tokens: 0, virtual_tokens: 0, completion_tokens: 0 }
    for (const result of settled) {
      if (result instanceof ServiceError) continue
      usage.prompt_tokens += result.usage.prompt_tokens
      usage.virtual_tokens += result.usage.virtual_tokens
      usage.completion_tokens += result.usage.completion_tokens
    }
    return { results: settled.map(result => result instanceof ServiceError ? { error: errorObject(result, call.request.id) } : result), usage }
  }

  async function stream (call: Call, reply: FastifyReply): Promise<FastifyReply> {
    const parts = generation(call, await sequence(call, call.options.input, 'input', call.head.id), call.signal)
    // Once the head is sent the status is 200; what fails before the first text still gets its own.
    const first = await parts.next()
    return replyWithEvents(reply, events())

    async function * events (): AsyncGenerator<ServerSentEvent> {
      try {
        yield { event: 'start', data: call.head }
        for (let part = first; part.done !== true; part = await parts.next()) {
          const { type, ...data } = part.value
          yield { event: type, data }
          if (part.value.type === 'finished') metrics.observeTokens('completion', part.value.usage.completion_tokens)
        }
      } catch (thrown) {
        if (call.signal.aborted) return
        const error = asServiceError(thrown)
        if (STATUS[error.code] >= 500) call.request.log.error({ code: error.code, err: thrown }, 'stream failed')
        yield { event: 'error', data: { error: errorObject(error, call.request.id) } }
      } finally {
        await parts.return(undefined)
      }
    }
  }
}

/** A classification has one row at a time, whoever votes. */
function rowsOf ({ spec, versions }: PromptedModel): number {
  return spec?.kind === 'classification' ? 1 : Math.max(1, versions.length)
}

/** What no schema says in words a caller understands. */
function checkShape (options: InferRequest): void {
  if (options.input !== undefined && options.inputs !== undefined) throw new ServiceError('invalid_request', 'give input or inputs, not both', { param: 'inputs' })
  if (options.input === undefined && options.inputs === undefined) throw new ServiceError('invalid_request', 'input is missing', { param: 'input' })
  if (options.inputs !== undefined && options.stream === true) throw new ServiceError('invalid_request', 'inputs are answered together; stream takes a single input', { param: 'stream' })
  if (samplesOf(options) > 1 && options.stream === true) throw new ServiceError('invalid_request', 'several samples are answered together; stream takes n = 1', { param: 'n' })
}
