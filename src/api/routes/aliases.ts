import { type Static, Type } from '@sinclair/typebox'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { ServiceError } from '../../errors.js'
import type { AliasRecord, Registry } from '../../registry/registry.js'
import { AliasNameSchema } from '../../training/job.js'
import type { Application } from '../application.js'
import { keyOf, READERS, tenantOf } from '../auth.js'
import { answerOnce } from '../idempotency.js'
import { closed, listOf, NoQuery, pathParameters, refusals, Timestamp } from '../wire.js'

export const AliasSchema = Type.Object({
  alias: Type.String(),
  version: Type.Integer(),
  etag: Type.String({ description: 'changes with every move; send it back as If-Match' }),
  moved_at: Timestamp
}, { title: 'Alias' })

export const MoveSchema = Type.Object({
  from: Type.Union([Type.Integer(), Type.Null()]),
  to: Type.Integer(),
  at: Timestamp,
  by: Type.String({ description: 'id of the key or the training job' })
}, { title: 'AliasMove' })

const PutAlias = Type.Object({ version: Type.Integer({ minimum: 1, maximum: 999_999_999 }) }, closed)
const AliasPath = Type.Object({ task: Type.String({ minLength: 1 }), alias: Type.String({ minLength: 1 }) })
const NewAliasPath = Type.Object({ task: Type.String({ minLength: 1 }), alias: AliasNameSchema })

function toWire (alias: AliasRecord): Static<typeof AliasSchema> {
  return { alias: alias.name, version: alias.version, etag: alias.etag, moved_at: alias.movedAt }
}

function quoted (etag: string): string {
  return `"${etag}"`
}

export function aliasRoutes (app: Application, registry: Registry): void {
  app.get('/v1/tasks/:task/aliases', {
    config: { scopes: READERS },
    schema: { summary: 'List the aliases of a task', tags: ['aliases'], params: pathParameters('task'), querystring: NoQuery, response: { 200: listOf(AliasSchema), ...refusals } }
  }, async request => ({ data: (await registry.listAliases(tenantOf(request), request.params.task)).map(toWire) }))

  app.get('/v1/tasks/:task/aliases/:alias', {
    config: { scopes: READERS },
    schema: { summary: 'One alias', tags: ['aliases'], params: AliasPath, querystring: NoQuery, response: { 200: AliasSchema, ...refusals } }
  }, async (request, reply) => {
    const alias = await registry.getAlias(tenantOf(request), request.params.task, request.params.alias)
    return await reply.header('etag', quoted(alias.etag)).send(toWire(alias))
  })

  app.put('/v1/tasks/:task/aliases/:alias', {
    config: { scopes: ['publish'] },
    schema: {
      summary: 'Point an alias at a version',
      description: 'With If-Match only when nobody moved it since; else 412 alias_moved, with the current ETag.',
      tags: ['aliases'],
      params: NewAliasPath,
      querystring: NoQuery,
      body: PutAlias,
      response: { 200: AliasSchema, ...refusals }
    }
  }, async (request, reply) => {
    const { task, alias } = request.params
    const tenant = tenantOf(request)
    const ifMatch = ifMatchOf(request)
    try {
      const moved = await registry.moveAlias(tenant, task, alias, request.body.version, { ...(ifMatch === null ? {} : { ifMatch }), by: keyOf(request).id })
      return await reply.header('etag', quoted(moved.etag)).send(toWire(moved))
    } catch (error) {
      if (error instanceof ServiceError && error.code === 'alias_moved') await showCurrentEtag(reply, tenant, task, alias)
      throw error
    }
  })

  app.post('/v1/tasks/:task/aliases/:alias/rollback', {
    config: { scopes: ['publish'] },
    schema: { summary: 'Point an alias back to where it pointed before', tags: ['aliases'], params: AliasPath, querystring: NoQuery, response: { 200: AliasSchema, ...refusals } }
  }, async (request, reply) => {
    const { task, alias } = request.params
    const wire = await answerOnce(registry, request, null, async () => toWire(await registry.rollbackAlias(tenantOf(request), task, alias, keyOf(request).id)))
    return await reply.header('etag', quoted(wire.etag)).send(wire)
  })

  app.get('/v1/tasks/:task/aliases/:alias/history', {
    config: { scopes: READERS },
    schema: { summary: 'Where an alias pointed, newest first', tags: ['aliases'], params: AliasPath, querystring: NoQuery, response: { 200: listOf(MoveSchema), ...refusals } }
  }, async request => ({ data: (await registry.aliasHistory(tenantOf(request), request.params.task, request.params.alias)).map(move => ({ ...move })) }))

  async function showCurrentEtag (reply: FastifyReply, tenant: string, task: string, alias: string): Promise<void> {
    try {
      reply.header('etag', quoted((await registry.getAlias(tenant, task, alias)).etag))
    } catch (error) {
      // An alias that does not exist yet has no tag; the 412 says enough.
      if (!(error instanceof ServiceError)) throw error
    }
  }
}

/** One strong entity tag (RFC 9110, section 13.1.1). */
function ifMatchOf (request: FastifyRequest): string | null {
  const header = request.headers['if-match']
  if (header === undefined) return null
  const tag = /^"([^"]{1,200})"$/.exec(header)?.[1]
  if (tag === undefined) throw new ServiceError('invalid_request', 'If-Match takes one entity tag in double quotes', { param: 'if-match' })
  return tag
}
