import { type Static, Type } from '@sinclair/typebox'
import { ServiceError } from '../../errors.js'
import { METHODS } from '../../prompt/methods.js'
import type { VersionRecord } from '../../registry/registry.js'
import type { Application } from '../application.js'
import { READERS, tenantOf } from '../auth.js'
import type { ApiServices } from '../services.js'
import { tar } from '../tar.js'
import { DigestText, listOf, NoQuery, pathParameters, refusals, Timestamp } from '../wire.js'

export const VersionSchema = Type.Object({
  version: Type.Integer(),
  digest: DigestText,
  method: Type.Union(METHODS.map(method => Type.Literal(method))),
  num_virtual_tokens: Type.Integer(),
  metrics: Type.Record(Type.String(), Type.Number(), { description: 'measured on the validation rows' }),
  job: Type.Union([Type.String(), Type.Null()], { description: 'the training job; null when imported' }),
  created_at: Timestamp
}, { title: 'Version' })

function toWire (version: VersionRecord): Static<typeof VersionSchema> {
  return {
    version: version.number,
    digest: version.digest,
    method: version.method,
    num_virtual_tokens: version.numVirtualTokens,
    metrics: { ...version.metrics },
    job: version.job,
    created_at: version.createdAt
  }
}

/** @throws ServiceError `version_not_found` for anything but a positive number */
export function versionNumber (text: string): number {
  if (!/^[1-9]\d{0,8}$/.test(text)) throw new ServiceError('version_not_found', 'a version is a number from 1', { param: 'version' })
  return Number(text)
}

export function versionRoutes (app: Application, { registry, artifacts }: Pick<ApiServices, 'registry' | 'artifacts'>): void {
  app.get('/v1/tasks/:task/versions', {
    config: { scopes: READERS },
    schema: { summary: 'List the versions of a task', tags: ['versions'], params: pathParameters('task'), querystring: NoQuery, response: { 200: listOf(VersionSchema), ...refusals } }
  }, async request => ({ data: (await registry.listVersions(tenantOf(request), request.params.task)).map(toWire) }))

  app.get('/v1/tasks/:task/versions/:version', {
    config: { scopes: READERS },
    schema: { summary: 'One version', tags: ['versions'], params: pathParameters('task', 'version'), querystring: NoQuery, response: { 200: VersionSchema, ...refusals } }
  }, async request => toWire(await registry.getVersion(tenantOf(request), request.params.task, versionNumber(request.params.version))))

  app.get('/v1/tasks/:task/versions/:version/artifact', {
    config: { scopes: ['train', 'publish'] },
    schema: {
      summary: 'The artifact of a version as a tar file',
      description: 'A folder that PEFT reads (adapter_config.json, adapter_model.safetensors) and permafrost.json beside it.',
      tags: ['versions'],
      params: pathParameters('task', 'version'),
      querystring: NoQuery,
      produces: ['application/x-tar']
    }
  }, async (request, reply) => {
    const { task } = request.params
    const version = await registry.getVersion(tenantOf(request), task, versionNumber(request.params.version))
    const files = await artifacts.get(version.digest)
    const folder = `${task}-${version.number}`
    return await reply
      .type('application/x-tar')
      .header('content-disposition', `attachment; filename="${folder}.tar"`)
      .header('etag', `"${version.digest}"`)
      .send(tar(folder, [...files].sort(([a], [b]) => a < b ? -1 : 1)))
  })
}
