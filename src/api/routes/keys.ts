import { type Static, Type } from '@sinclair/typebox'
import { type KeyRecord, type Registry, type Scope, SCOPES } from '../../registry/registry.js'
import type { Application } from '../application.js'
import { tenantOf } from '../auth.js'
import { refuseIdempotencyKey } from '../idempotency.js'
import { closed, listOf, NoQuery, pathParameters, refusals, Timestamp } from '../wire.js'

export const KeySchema = Type.Object({
  id: Type.String(),
  name: Type.String(),
  scopes: Type.Array(Type.Union(SCOPES.map(scope => Type.Literal(scope)))),
  created_at: Timestamp
}, { title: 'Key' })

export const NewKeySchema = Type.Object({
  ...KeySchema.properties,
  secret: Type.String({ description: 'shown this once; only its hash is kept' })
}, { title: 'NewKey' })

const CreateKey = Type.Object({
  name: Type.String({ minLength: 1, maxLength: 200 }),
  scopes: Type.Array(Type.Union(SCOPES.map(scope => Type.Literal(scope))), { minItems: 1, uniqueItems: true })
}, closed)

function toWire (key: KeyRecord): Static<typeof KeySchema> {
  return { id: key.id, name: key.name, scopes: [...key.scopes], created_at: key.createdAt }
}

const config: { scopes: readonly Scope[] } = { scopes: ['admin'] }

/** Keys of the caller's own tenant. */
export function keyRoutes (app: Application, registry: Registry): void {
  app.post('/v1/keys', {
    config,
    schema: { summary: 'Make an API key', tags: ['keys'], body: CreateKey, querystring: NoQuery, response: { 201: NewKeySchema, ...refusals } }
  }, async (request, reply) => {
    refuseIdempotencyKey(request, 'the answer holds a secret, which is never stored')
    const key = await registry.createKey(tenantOf(request), request.body.name, request.body.scopes)
    return await reply.code(201).send({ ...toWire(key), secret: key.secret })
  })

  app.get('/v1/keys', {
    config,
    schema: { summary: 'List API keys', tags: ['keys'], querystring: NoQuery, response: { 200: listOf(KeySchema), ...refusals } }
  }, async request => ({ data: (await registry.listKeys(tenantOf(request))).map(toWire) }))

  app.delete('/v1/keys/:key', {
    config,
    schema: { summary: 'Revoke an API key', tags: ['keys'], params: pathParameters('key'), querystring: NoQuery, response: { 204: Type.Null(), ...refusals } }
  }, async (request, reply) => {
    await registry.revokeKey(tenantOf(request), request.params.key)
    return await reply.code(204).send(null)
  })
}
