import { randomBytes } from 'node:crypto'
import type { Redis } from 'ioredis'
import { ServiceError } from '../errors.js'
import { checkSchema } from '../schema.js'
import { LuaScript } from './lua-script.js'
import { checkAliasName } from './names.js'
import { aliasNotFound, taskNotFound, versionNotFound } from './not-found.js'
import { aliasesKey, aliasMovesKey, EVENTS_CHANNEL, tasksKey, versionsKey } from './redis-keys.js'
import type { AliasMove, AliasRecord } from './registry.js'
import { decodeRecord } from './stored-record.js'
import { getTask } from './tasks.js'

/** Of all aliases of a task together, newest kept. */
export const MAX_ALIAS_MOVES = 1_000

const MOVE_ALIAS = new LuaScript('move-alias-4.lua')

/** `previous` is where a rollback goes. */
interface StoredAlias { readonly version: number, readonly etag: string, readonly movedAt: string, readonly previous: number | null }
interface StoredMove extends AliasMove { readonly alias: string }

export async function listAliases (redis: Redis, tenant: string, task: string): Promise<AliasRecord[]> {
  await getTask(redis, tenant, task)
  const records = await redis.hgetall(aliasesKey(tenant, task))
  return Object.entries(records)
    .sort(([a], [b]) => a < b ? -1 : 1)
    .map(([name, json]) => decodeAlias(task, name, json))
}

export async function getAlias (redis: Redis, tenant: string, task: string, alias: string): Promise<AliasRecord> {
  const json = await redis.hget(aliasesKey(tenant, task), alias)
  if (json === null) {
    await getTask(redis, tenant, task)
    throw aliasNotFound(task, alias)
  }
  return decodeAlias(task, alias, json)
}

export async function moveAlias (redis: Redis, tenant: string, task: string, alias: string, version: number, options: { ifMatch?: string, by: string }): Promise<AliasRecord> {
  checkAliasName(alias)
  return await runMove(redis, tenant, task, alias, String(version), options.ifMatch ?? '', options.by)
}

export async function rollbackAlias (redis: Redis, tenant: string, task: string, alias: string, by: string): Promise<AliasRecord> {
  return await runMove(redis, tenant, task, alias, '', '', by)
}

export async function aliasHistory (redis: Redis, tenant: string, task: string, alias: string): Promise<AliasMove[]> {
  await getAlias(redis, tenant, task, alias)
  const moves = await redis.lrange(aliasMovesKey(tenant, task), 0, -1)
  return moves
    .map(json => decodeRecord<StoredMove>(`a move of alias ${alias} of task ${task}`, json))
    .filter(move => move.alias === alias)
    .map(({ from, to, at, by }) => ({ from, to, at, by }))
}

async function runMove (redis: Redis, tenant: string, task: string, alias: string, version: string, ifMatch: string, by: string): Promise<AliasRecord> {
  const [outcome, detail = ''] = await MOVE_ALIAS.run(redis, [
    tasksKey(tenant), versionsKey(tenant, task), aliasesKey(tenant, task), aliasMovesKey(tenant, task)
  ], [task, alias, version, ifMatch, randomBytes(9).toString('base64url'), new Date().toISOString(), by, MAX_ALIAS_MOVES, EVENTS_CHANNEL, tenant])
  if (outcome === 'other_schema') checkSchema(`alias ${alias} of task ${task}`, detail)
  switch (outcome) {
    case 'ok': return decodeAlias(task, alias, detail)
    case 'task_not_found': throw taskNotFound(task)
    case 'alias_not_found': throw aliasNotFound(task, alias)
    case 'version_not_found': throw versionNotFound(task, detail)
    case 'no_previous': throw new ServiceError('version_not_found', `alias ${alias} of task ${task} has never pointed to another version`)
    case 'alias_moved': throw new ServiceError('alias_moved', `alias ${alias} of task ${task} ${detail === '' ? 'does not exist' : `has etag ${detail}`}, not ${ifMatch}`, { param: 'if-match' })
    default: throw new Error(`internal: move-alias answered ${outcome}`)
  }
}

function decodeAlias (task: string, name: string, json: string): AliasRecord {
  const { version, etag, movedAt } = decodeRecord<StoredAlias>(`alias ${name} of task ${task}`, json)
  return { name, version, etag, movedAt }
}
