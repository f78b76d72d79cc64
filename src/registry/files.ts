/** Records of uploaded files; their bytes lie in the object store under `uploadKey`. */
import type { Redis } from 'ioredis'
import { ServiceError } from '../errors.js'
import { filesKey } from './redis-keys.js'
import type { FileRecord } from './registry.js'
import { decodeRecord, encodeRecord } from './stored-record.js'

export async function addFile (redis: Redis, tenant: string, file: FileRecord): Promise<void> {
  await redis.hset(filesKey(tenant), file.id, encodeRecord(file))
}

export async function getFile (redis: Redis, tenant: string, id: string): Promise<FileRecord> {
  const json = await redis.hget(filesKey(tenant), id)
  if (json === null) throw fileNotFound(id)
  return decodeRecord<FileRecord>(`file ${id}`, json)
}

/** Oldest first. */
export async function listFiles (redis: Redis, tenant: string): Promise<FileRecord[]> {
  const records = await redis.hgetall(filesKey(tenant))
  return Object.entries(records)
    .map(([id, json]) => decodeRecord<FileRecord>(`file ${id}`, json))
    .sort((a, b) => a.createdAt < b.createdAt ? -1 : 1)
}

export async function removeFile (redis: Redis, tenant: string, id: string): Promise<void> {
  await getFile(redis, tenant, id)
  const removed = await redis.hdel(filesKey(tenant), id)
  if (removed === 0) throw fileNotFound(id)
}

function fileNotFound (id: string): ServiceError {
  return new ServiceError('file_not_found', `there is no file ${JSON.stringify(id)}`, { param: 'file' })
}
