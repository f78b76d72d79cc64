import type { Redis } from 'ioredis'
import { ServiceError } from '../errors.js'
import { schemaOf } from '../schema.js'
import { publishEvent } from './events.js'
import { LuaScript } from './lua-script.js'
import { checkTaskName } from './names.js'
import { taskNotFound } from './not-found.js'
import { aliasesKey, aliasMovesKey, jobVersionsKey, taskOpenJobsKey, tasksKey, TENANTS, versionsKey } from './redis-keys.js'
import type { TaskRecord } from './registry.js'
import { versionPrefix } from './store/object-keys.js'
import type { ObjectStore } from './store/object-store.js'
import { decodeRecord, encodeRecord } from './stored-record.js'

const REPLACE_TASK = new LuaScript('replace-task-1.lua')
const DELETE_TASK = new LuaScript('delete-task-6.lua')

export function decodeTask (name: string, json: string): TaskRecord {
  return decodeRecord<TaskRecord>(`task ${name}`, json, task => task.spec)
}

function encodeTask (task: TaskRecord): string {
  return encodeRecord({ schema: schemaOf(task.spec), ...task })
}

export async function createTask (redis: Redis, tenant: string, task: TaskRecord): Promise<void> {
  checkTaskName(task.name)
  await redis.sadd(TENANTS, tenant)
  const created = await redis.hsetnx(tasksKey(tenant), task.name, encodeTask(task))
  if (created === 0) throw new ServiceError('task_exists', `task ${task.name} exists already`, { param: 'name' })
  await publishEvent(redis, { type: 'task', tenant, task: task.name })
}

export async function getTask (redis: Redis, tenant: string, name: string): Promise<TaskRecord> {
  const json = await redis.hget(tasksKey(tenant), name)
  if (json === null) throw taskNotFound(name)
  return decodeTask(name, json)
}

export async function listTasks (redis: Redis, tenant: string): Promise<TaskRecord[]> {
  const records = await redis.hgetall(tasksKey(tenant))
  return Object.entries(records)
    .sort(([a], [b]) => a < b ? -1 : 1)
    .map(([name, json]) => decodeTask(name, json))
}

export async function describeTask (redis: Redis, tenant: string, name: string, description: string): Promise<TaskRecord> {
  const task: TaskRecord = { ...await getTask(redis, tenant, name), description }
  const [outcome] = await REPLACE_TASK.run(redis, [tasksKey(tenant)], [name, encodeTask(task)])
  if (outcome === 'task_not_found') throw taskNotFound(name)
  await publishEvent(redis, { type: 'task', tenant, task: name })
  return task
}

export async function deleteTask (redis: Redis, objects: ObjectStore, tenant: string, name: string): Promise<void> {
  // What a newer version keeps of a task, this one would leave behind.
  await getTask(redis, tenant, name)
  const [outcome, open] = await DELETE_TASK.run(redis, [
    tasksKey(tenant), taskOpenJobsKey(tenant, name), versionsKey(tenant, name),
    jobVersionsKey(tenant, name), aliasesKey(tenant, name), aliasMovesKey(tenant, name)
  ], [name])
  if (outcome === 'task_not_found') throw taskNotFound(name)
  if (outcome === 'task_in_use') throw new ServiceError('task_in_use', `${open} training jobs of task ${name} are not finished`, { param: 'task' })
  // After the index: a crash in between leaves records that nothing refers to, never an index without its records.
  for (const key of await objects.list(versionPrefix(tenant, name))) await objects.delete(key)
  await publishEvent(redis, { type: 'task', tenant, task: name })
}
