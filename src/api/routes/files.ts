/** Uploads of JSONL. The bytes lie in the object store, what is known about them in the registry. */
import { randomBytes } from 'node:crypto'
import type { Readable } from 'node:stream'
import multipart from '@fastify/multipart'
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import { type Static, Type } from '@sinclair/typebox'
import type { FastifyRequest } from 'fastify'
import { ServiceError } from '../../errors.js'
import type { FileRecord, Scope } from '../../registry/registry.js'
import { uploadKey } from '../../registry/store/object-keys.js'
import type { Application } from '../application.js'
import { tenantOf } from '../auth.js'
import { answerOnce } from '../idempotency.js'
import { type ReceivedFile, receiveJsonl } from '../jsonl/receive.js'
import type { ApiServices } from '../services.js'
import { closed, DigestText, listOf, NoQuery, pathParameters, refusals, Timestamp } from '../wire.js'

export const FileSchema = Type.Object({
  id: Type.String(),
  name: Type.String(),
  bytes: Type.Integer(),
  rows: Type.Integer(),
  digest: DigestText,
  created_at: Timestamp
}, { title: 'File' })

const Rows = Type.String({ description: 'lines of JSON' })
const Form = Type.Object({ file: Rows, purpose: Type.Optional(Type.String()) })

/** OpenAI's clients send one; we keep every file for the same uses. */
const PURPOSES = ['fine-tune', 'evals']
const MAX_NAME_LENGTH = 255
const DEFAULT_NAME = 'upload.jsonl'
const RAW_TYPES = ['application/jsonl', 'application/x-ndjson']

const UploadQuery = Type.Object({ name: Type.Optional(Type.String({ minLength: 1, maxLength: MAX_NAME_LENGTH, description: 'with a raw body: what to call the file' })) }, closed)

function toWire (file: FileRecord): Static<typeof FileSchema> {
  return { id: file.id, name: file.name, bytes: file.bytes, rows: file.rows, digest: file.digest, created_at: file.createdAt }
}

/**
 * @param param the field of the request that names the file
 * @throws ServiceError file_not_found
 */
export async function fileBytes ({ registry, objects }: Pick<ApiServices, 'registry' | 'objects'>, tenant: string, id: string, param = 'file'): Promise<{ readonly file: FileRecord, readonly bytes: Uint8Array }> {
  try {
    const file = await registry.getFile(tenant, id)
    const bytes = await objects.get(uploadKey(tenant, id))
    if (bytes === null) throw new ServiceError('file_not_found', `the bytes of ${id} are gone`)
    return { file, bytes }
  } catch (error) {
    if (!(error instanceof ServiceError) || error.code !== 'file_not_found') throw error
    throw new ServiceError(error.code, error.message, { param })
  }
}

export function fileRoutes (app: Application, services: Pick<ApiServices, 'registry' | 'objects' | 'limits'>): void {
  const { registry, objects, limits } = services
  const config: { scopes: readonly Scope[] } = { scopes: ['train'] }
  const params = pathParameters('file')

  // A scope of its own: only here are bodies anything but JSON.
  app.register(async upload => {
    await upload.register(multipart, { limits: { files: 1, fields: 8, parts: 9, fieldSize: 1024, fileSize: limits.maxFileBytes + 1 }, throwFileSizeLimit: false })
    upload.removeContentTypeParser('application/json')
    upload.addContentTypeParser(RAW_TYPES, (_request, body, done) => done(null, body))

    upload.withTypeProvider<TypeBoxTypeProvider>().post('/v1/files', {
      config: { ...config, documentedBody: { 'multipart/form-data': { schema: Form }, ...Object.fromEntries(RAW_TYPES.map(type => [type, { schema: Rows }])) } },
      bodyLimit: limits.maxFileBytes + 64 * 1024, // room for the multipart wrapping
      schema: {
        summary: 'Upload a JSONL file',
        description: `multipart/form-data with a part "file", or the bytes themselves as ${RAW_TYPES.join(' or ')}. Each line is checked: a JSON object with input, and target, label or references.`,
        tags: ['files'],
        querystring: UploadQuery,
        response: { 201: FileSchema, ...refusals }
      }
    }, async (request, reply) => {
      const { name, received } = await receive(request, limits.maxFileBytes)
      const wire = await answerOnce(registry, request, received.digest, async () => {
        const tenant = tenantOf(request)
        const file: FileRecord = {
          id: `file_${randomBytes(12).toString('hex')}`,
          name,
          bytes: received.bytes.length,
          rows: received.rows,
          digest: received.digest,
          createdAt: new Date().toISOString()
        }
        // Bytes first: a record without bytes would be a lie, bytes without a record are only waste.
        await objects.put(uploadKey(tenant, file.id), received.bytes)
        await registry.addFile(tenant, file)
        return toWire(file)
      })
      return await reply.code(201).send(wire)
    })
  })

  app.get('/v1/files', {
    config,
    schema: { summary: 'List files', tags: ['files'], querystring: NoQuery, response: { 200: listOf(FileSchema), ...refusals } }
  }, async request => ({ data: (await registry.listFiles(tenantOf(request))).map(toWire) }))

  app.get('/v1/files/:file', {
    config,
    schema: { summary: 'One file', tags: ['files'], params, querystring: NoQuery, response: { 200: FileSchema, ...refusals } }
  }, async request => toWire(await registry.getFile(tenantOf(request), request.params.file)))

  app.get('/v1/files/:file/content', {
    config,
    schema: { summary: 'The bytes of a file', tags: ['files'], params, querystring: NoQuery, produces: ['application/jsonl'] }
  }, async (request, reply) => {
    const { bytes } = await fileBytes(services, tenantOf(request), request.params.file)
    return await reply.type('application/jsonl').send(bytes)
  })

  app.delete('/v1/files/:file', {
    config,
    schema: { summary: 'Delete a file', tags: ['files'], params, querystring: NoQuery, response: { 204: Type.Null(), ...refusals } }
  }, async (request, reply) => {
    const tenant = tenantOf(request)
    const { id } = await registry.getFile(tenant, request.params.file)
    await registry.removeFile(tenant, id)
    await objects.delete(uploadKey(tenant, id))
    return await reply.code(204).send(null)
  })
}

interface Upload { readonly name: string, readonly received: ReceivedFile }

async function receive (request: FastifyRequest, maxBytes: number): Promise<Upload> {
  if (!request.isMultipart()) {
    if (request.body === undefined || request.body === null) throw new ServiceError('empty_file', 'the body is empty', { param: 'file' })
    const { name } = request.query as Static<typeof UploadQuery>
    return { name: name ?? DEFAULT_NAME, received: await receiveJsonl(request.body as Readable, maxBytes) }
  }
  try {
    return await receiveForm(request, maxBytes)
  } catch (error) {
    if (error instanceof ServiceError || (error as { code?: string }).code !== undefined) throw error
    // The parser's own complaints (no boundary, an end in the middle) are plain errors.
    throw new ServiceError('invalid_request', `the multipart body cannot be read: ${(error as Error).message}`, { param: 'body', cause: error })
  }
}

async function receiveForm (request: FastifyRequest, maxBytes: number): Promise<Upload> {
  let file: Upload | null = null
  for await (const part of request.parts()) {
    if (part.type === 'file') {
      if (part.fieldname !== 'file') throw new ServiceError('unknown_parameter', 'the one file part is called "file"', { param: shortened(part.fieldname) })
      file = { name: (part.filename || DEFAULT_NAME).slice(0, MAX_NAME_LENGTH), received: await receiveJsonl(part.file, maxBytes) }
    } else if (part.fieldname !== 'purpose') {
      throw new ServiceError('unknown_parameter', 'the parts of an upload are "file" and "purpose"', { param: shortened(part.fieldname) })
    } else if (!PURPOSES.includes(String(part.value))) {
      throw new ServiceError('invalid_request', `purpose must be ${PURPOSES.join(' or ')}`, { param: 'purpose' })
    }
  }
  if (file === null) throw new ServiceError('invalid_request', 'there is no part "file"', { param: 'file' })
  return file
}

function shortened (name: string): string {
  return name.slice(0, 100)
}
