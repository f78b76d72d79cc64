import { randomBytes } from 'node:crypto'
import { type Static, Type } from '@sinclair/typebox'
import { ServiceError } from '../../errors.js'
import { PRODUCTION } from '../../registry/names.js'
import type { JobRecord, Scope } from '../../registry/registry.js'
import { schemaOf } from '../../schema.js'
import { JOB_EVENT_ID, JOB_STATES, type JobEvent, TrainingJobRequestSchema } from '../../training/job.js'
import { completeRecipe, validationRows } from '../../training/recipe.js'
import type { Application } from '../application.js'
import { tenantOf } from '../auth.js'
import { hangUpSignal } from '../hang-up.js'
import { answerOnce } from '../idempotency.js'
import { checkForTask } from '../jsonl/check-for-task.js'
import type { ApiServices } from '../services.js'
import { replyWithEvents, type ServerSentEvent } from '../sse.js'
import { listOf, NoQuery, pathParameters, refusals, Timestamp } from '../wire.js'
import { fileBytes } from './files.js'

const NullableText = Type.Union([Type.String(), Type.Null()])

export const JobSchema = Type.Object({
  id: Type.String(),
  state: Type.Union(JOB_STATES.map(state => Type.Literal(state))),
  task: Type.String(),
  training_file: Type.String(),
  validation_file: NullableText,
  method: Type.Object({}, { additionalProperties: true, description: 'completed: type, num_virtual_tokens, init' }),
  recipe: Type.Object({}, { additionalProperties: true, description: 'completed: every hyper-parameter' }),
  publish: Type.Union([Type.Literal(false), Type.Object({ alias: Type.String() })]),
  version: Type.Union([Type.Integer(), Type.Null()], { description: 'the version it published' }),
  error: Type.Union([Type.Object({ code: Type.String(), message: Type.String() }), Type.Null()]),
  created_at: Timestamp,
  finished_at: Type.Union([Timestamp, Type.Null()])
}, { title: 'TrainingJob' })

function toWire (job: JobRecord): Static<typeof JobSchema> {
  return {
    id: job.id,
    state: job.state,
    task: job.data.task,
    training_file: job.data.trainingFile,
    validation_file: job.data.validationFile,
    method: job.method,
    recipe: job.recipe,
    publish: job.data.alias === null ? false : { alias: job.data.alias },
    version: job.version,
    error: job.error,
    created_at: job.createdAt,
    finished_at: job.finishedAt
  }
}

/** @param closing fires when the process stops: streams that would last as long as their job end then */
export function trainingJobRoutes (app: Application, services: Pick<ApiServices, 'registry' | 'objects' | 'base' | 'limits'>, closing: AbortSignal): void {
  const { registry, base, limits } = services
  const config: { scopes: readonly Scope[] } = { scopes: ['train'] }
  const params = pathParameters('job')

  app.post('/v1/training-jobs', {
    config,
    schema: { summary: 'Train a prompt for a task', tags: ['training'], body: TrainingJobRequestSchema, querystring: NoQuery, response: { 202: JobSchema, ...refusals } }
  }, async (request, reply) => {
    const job = await answerOnce(registry, request, request.body, async () => toWire(await create(tenantOf(request), request.body)))
    return await reply.code(202).send(job)
  })

  async function create (tenant: string, wanted: Static<typeof TrainingJobRequestSchema>): Promise<JobRecord> {
    const task = await registry.getTask(tenant, wanted.task)
    if (task.base !== base.digest) throw new ServiceError('wrong_base', `the task belongs to base ${task.base}, this service runs ${base.digest}`, { param: 'task' })
    const training = await checkedFile(tenant, wanted.training_file, { param: 'training_file', training: true })
    if (wanted.validation_file !== undefined) await checkedFile(tenant, wanted.validation_file, { param: 'validation_file', training: false })
    // A single row validates itself.
    const rows = wanted.validation_file === undefined ? Math.max(1, training - validationRows(training)) : training
    const { method, recipe } = completeRecipe(wanted, {
      kind: task.spec.kind, rows, contextLength: base.config.contextLength, maxMicroBatchTokens: limits.maxMicroBatchTokens
    })
    return await registry.createJob({
      schema: schemaOf(task.spec),
      job: `job_${randomBytes(12).toString('hex')}`,
      tenant,
      task: task.name,
      spec: task.spec,
      base: task.base,
      trainingFile: wanted.training_file,
      validationFile: wanted.validation_file ?? null,
      method,
      recipe,
      alias: wanted.publish === false ? null : wanted.publish?.alias ?? PRODUCTION
    })

    async function checkedFile (tenant: string, id: string, options: { readonly param: string, readonly training: boolean }): Promise<number> {
      const { file, bytes } = await fileBytes(services, tenant, id, options.param)
      await checkForTask(bytes, task.spec, options)
      return file.rows
    }
  }

  app.get('/v1/training-jobs', {
    config,
    schema: { summary: 'List training jobs, newest first', tags: ['training'], querystring: NoQuery, response: { 200: listOf(JobSchema), ...refusals } }
  }, async request => ({ data: (await registry.listJobs(tenantOf(request))).map(toWire) }))

  app.get('/v1/training-jobs/:job', {
    config,
    schema: { summary: 'One training job', tags: ['training'], params, querystring: NoQuery, response: { 200: JobSchema, ...refusals } }
  }, async request => toWire(await registry.getJob(tenantOf(request), request.params.job)))

  app.post('/v1/training-jobs/:job/cancel', {
    config,
    schema: { summary: 'Cancel a training job', tags: ['training'], params, querystring: NoQuery, response: { 200: JobSchema, ...refusals } }
  }, async request => toWire(await registry.cancelJob(tenantOf(request), request.params.job)))

  app.get('/v1/training-jobs/:job/events', {
    config,
    exposeHeadRoute: false,
    schema: {
      summary: 'Follow a training job (server-sent events)',
      description: 'Events state, step, evaluation, checkpoint, published, error, from the first one or from behind Last-Event-ID; the stream ends when the job does.',
      tags: ['training'],
      params,
      querystring: NoQuery,
      produces: ['text/event-stream']
    }
  }, async (request, reply) => {
    const tenant = tenantOf(request)
    const lastId = lastEventId(request.headers['last-event-id'])
    const { id } = await registry.getJob(tenant, request.params.job)
    const signal = AbortSignal.any([hangUpSignal(reply), closing])
    return replyWithEvents(reply, asServerSentEvents(registry.jobEvents(tenant, id, lastId, signal)))
  })
}

function lastEventId (header: string | string[] | undefined): string {
  if (header === undefined || header === '') return '0'
  if (typeof header !== 'string' || !JOB_EVENT_ID.test(header)) throw new ServiceError('invalid_request', 'Last-Event-ID is not an id of this stream', { param: 'last-event-id' })
  return header
}

async function * asServerSentEvents (events: AsyncIterable<{ readonly id: string, readonly event: JobEvent }>): AsyncGenerator<ServerSentEvent> {
  for await (const { id, event } of events) {
    const { type, ...data } = event
    yield { id, event: type, data: { type, ...data } }
  }
}
