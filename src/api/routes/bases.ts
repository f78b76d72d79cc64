import { type Static, Type } from '@sinclair/typebox'
import { ServiceError } from '../../errors.js'
import type { BaseManifest } from '../../model/base.js'
import type { Application } from '../application.js'
import { READERS } from '../auth.js'
import { DigestText, listOf, NoQuery, pathParameters, refusals } from '../wire.js'

export const BaseSchema = Type.Object({
  name: Type.String(),
  digest: DigestText,
  family: Type.String(),
  licence: Type.Union([Type.String(), Type.Null()]),
  vocabulary_size: Type.Integer(),
  hidden_size: Type.Integer(),
  num_layers: Type.Integer(),
  num_heads: Type.Integer(),
  num_kv_heads: Type.Integer(),
  head_size: Type.Integer(),
  context_length: Type.Integer({ description: 'positions the base was trained for' }),
  max_context: Type.Integer({ description: 'positions one request may use here: prompt, input and answer together' }),
  chat: Type.Boolean({ description: 'whether the base has a chat template' }),
  warnings: Type.Array(Type.String())
}, { title: 'Base' })

function toWire (base: BaseManifest, maxContext: number, chat: boolean): Static<typeof BaseSchema> {
  const { config } = base
  return {
    name: base.name,
    digest: base.digest,
    family: config.family,
    licence: base.licence,
    vocabulary_size: config.vocabSize,
    hidden_size: config.hiddenSize,
    num_layers: config.numLayers,
    num_heads: config.numHeads,
    num_kv_heads: config.numKvHeads,
    head_size: config.headSize,
    context_length: config.contextLength,
    max_context: maxContext,
    chat,
    warnings: [...base.warnings]
  }
}

/** The frozen LM of this service: one for each inference process. */
export function baseRoutes (app: Application, base: BaseManifest, maxContext: number, chat: boolean): void {
  app.get('/v1/bases', {
    config: { scopes: READERS },
    schema: { summary: 'List base models', tags: ['bases'], querystring: NoQuery, response: { 200: listOf(BaseSchema), ...refusals } }
  }, async () => ({ data: [toWire(base, maxContext, chat)] }))

  app.get('/v1/bases/:base', {
    config: { scopes: READERS },
    schema: { summary: 'One base model, by name or digest', tags: ['bases'], params: pathParameters('base'), querystring: NoQuery, response: { 200: BaseSchema, ...refusals } }
  }, async request => {
    if (request.params.base !== base.name && request.params.base !== base.digest) throw new ServiceError('base_not_found', 'there is no such base here', { param: 'base' })
    return toWire(base, maxContext, chat)
  })
}
