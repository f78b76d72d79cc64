import { type Static, Type } from '@sinclair/typebox'
import { OutputSchema } from '../../constraint/output.js'
import { ServiceError } from '../../errors.js'
import { TASK_KINDS, type TaskSpec } from '../../prompt/task-spec.js'
import { DEFAULT_TEMPLATES, parseTemplate } from '../../prompt/template.js'
import { chooseLabels } from '../../prompt/verbalizer.js'
import type { TaskRecord } from '../../registry/registry.js'
import type { Application } from '../application.js'
import { READERS, tenantOf } from '../auth.js'
import { answerOnce } from '../idempotency.js'
import type { ApiServices } from '../services.js'
import { closed, DigestText, listOf, NoQuery, pathParameters, refusals, Timestamp } from '../wire.js'

const LabelWire = Type.Object({
  name: Type.String(),
  token_id: Type.Integer({ description: 'the one token that stands for the label' }),
  token: Type.String()
})

export const TaskSchema = Type.Object({
  name: Type.String(),
  description: Type.String(),
  kind: Type.Union(TASK_KINDS.map(kind => Type.Literal(kind))),
  template: Type.String(),
  verbalizer: Type.Union([Type.Literal('vectors'), Type.Literal('tokens'), Type.Null()]),
  labels: Type.Union([Type.Array(LabelWire), Type.Null()]),
  // Not there at all without one: answers of before there were outputs are given again as they were.
  output: Type.Optional(OutputSchema),
  base: DigestText,
  created_at: Timestamp
}, { title: 'Task' })

const Description = Type.String({ maxLength: 2000 })

const CreateTask = Type.Object({
  name: Type.String({ pattern: '^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$' }),
  description: Type.Optional(Description),
  kind: Type.Union(TASK_KINDS.map(kind => Type.Literal(kind))),
  template: Type.Optional(Type.String({ minLength: 1, maxLength: 10_000, description: '{input} or other {fields}; {{ and }} are braces' })),
  labels: Type.Optional(Type.Array(Type.String({ minLength: 1, maxLength: 200 }), { maxItems: 1000 })),
  verbalizer: Type.Optional(Type.Union([Type.Literal('vectors'), Type.Literal('tokens')], { description: 'default vectors' })),
  output: Type.Optional(OutputSchema)
}, closed)

const DescribeTask = Type.Object({ description: Description }, closed)

function toWire (task: TaskRecord): Static<typeof TaskSchema> {
  const { kind, template, verbalizer, output } = task.spec
  return {
    name: task.name,
    description: task.description,
    kind,
    template,
    verbalizer: verbalizer?.type ?? null,
    labels: verbalizer === null ? null : verbalizer.labels.map(label => ({ name: label.name, token_id: label.tokenId, token: label.piece })),
    ...(output === undefined ? {} : { output }),
    base: task.base,
    created_at: task.createdAt
  }
}

/** Everything about a task that never changes again. */
function specOf (wanted: Static<typeof CreateTask>, tokenizer: ApiServices['tokenizer']): TaskSpec {
  const template = wanted.template ?? DEFAULT_TEMPLATES[wanted.kind]
  parseTemplate(template)
  if (wanted.kind === 'generation') {
    if (wanted.labels !== undefined) throw new ServiceError('invalid_request', 'a generation task has no labels', { param: 'labels' })
    if (wanted.verbalizer !== undefined) throw new ServiceError('invalid_request', 'a generation task has no verbalizer', { param: 'verbalizer' })
    return { kind: wanted.kind, template, verbalizer: null, ...(wanted.output === undefined ? {} : { output: wanted.output }) }
  }
  if (wanted.output !== undefined) throw new ServiceError('invalid_request', 'output is for generation, this task is classification', { param: 'output' })
  const names = wanted.labels ?? []
  if (names.length === 0) throw new ServiceError('invalid_request', 'a classification task needs its labels', { param: 'labels' })
  if (names.length === 1) throw new ServiceError('one_label', 'a classification task needs at least two labels', { param: 'labels' })
  const repeated = names.findIndex((name, index) => names.indexOf(name) !== index)
  if (repeated !== -1) throw new ServiceError('invalid_request', `labels/${repeated} is there twice`, { param: `labels/${repeated}` })
  return { kind: wanted.kind, template, verbalizer: { type: wanted.verbalizer ?? 'vectors', labels: chooseLabels(names, tokenizer) } }
}

export function taskRoutes (app: Application, { registry, base, tokenizer, outputs }: Pick<ApiServices, 'registry' | 'base' | 'tokenizer' | 'outputs'>): void {
  const params = pathParameters('task')

  app.post('/v1/tasks', {
    config: { scopes: ['train'] },
    schema: { summary: 'Make a task', tags: ['tasks'], body: CreateTask, querystring: NoQuery, response: { 201: TaskSchema, ...refusals } }
  }, async (request, reply) => {
    const task = await answerOnce(registry, request, request.body, async () => {
      // The base's name means the frozen LM itself wherever a task is named.
      if (request.body.name === base.name) throw new ServiceError('invalid_request', `${base.name} is the name of the base`, { param: 'name' })
      const spec = specOf(request.body, tokenizer)
      if (spec.output !== undefined) await outputs.compile(spec.output, tenantOf(request))
      const task: TaskRecord = {
        name: request.body.name,
        description: request.body.description ?? '',
        base: base.digest,
        spec,
        createdAt: new Date().toISOString()
      }
      await registry.createTask(tenantOf(request), task)
      return toWire(task)
    })
    return await reply.code(201).send(task)
  })

  app.get('/v1/tasks', {
    config: { scopes: READERS },
    schema: { summary: 'List tasks', tags: ['tasks'], querystring: NoQuery, response: { 200: listOf(TaskSchema), ...refusals } }
  }, async request => ({ data: (await registry.listTasks(tenantOf(request))).map(toWire) }))

  app.get('/v1/tasks/:task', {
    config: { scopes: READERS },
    schema: { summary: 'One task', tags: ['tasks'], params, querystring: NoQuery, response: { 200: TaskSchema, ...refusals } }
  }, async request => toWire(await registry.getTask(tenantOf(request), request.params.task)))

  app.patch('/v1/tasks/:task', {
    config: { scopes: ['train'] },
    schema: { summary: 'Change the description; nothing else of a task ever changes', tags: ['tasks'], params, body: DescribeTask, querystring: NoQuery, response: { 200: TaskSchema, ...refusals } }
  }, async request => toWire(await registry.describeTask(tenantOf(request), request.params.task, request.body.description)))

  app.delete('/v1/tasks/:task', {
    config: { scopes: ['train'] },
    schema: { summary: 'Delete a task with its versions and aliases', tags: ['tasks'], params, querystring: NoQuery, response: { 204: Type.Null(), ...refusals } }
  }, async (request, reply) => {
    await registry.deleteTask(tenantOf(request), request.params.task)
    return await reply.code(204).send(null)
  })
}
