/** The inference processes that serve now, each as long as it says so. Redis forgets them; nothing of it has to last. */
import type { Redis } from 'ioredis'
import { isOfNewerSchema } from '../schema.js'
import { eventMessage } from './events.js'
import { LuaScript } from './lua-script.js'
import { EVENTS_CHANNEL, REPLICA_HEARTBEATS, REPLICAS } from './redis-keys.js'
import type { ReplicaList, ReplicaRecord } from './registry.js'
import { decodeRecord, encodeRecord } from './stored-record.js'

/** How often a process says that it lives. */
export const HEARTBEAT_MS = 1_000
/** Who says nothing for so long, by the clock of Redis, is lost. */
export const LOST_MS = 4_000

const ANNOUNCE_REPLICA = new LuaScript('announce-replica-2.lua')
const REMOVE_REPLICA = new LuaScript('remove-replica-2.lua')
const LIST_REPLICAS = new LuaScript('list-replicas-2.lua')

const KEYS = [REPLICAS, REPLICA_HEARTBEATS]

/** Enter a process, or say that it lives; `replica` events tell of new ones. */
export async function announceReplica (redis: Redis, { id, url }: ReplicaRecord): Promise<void> {
  await ANNOUNCE_REPLICA.run(redis, KEYS, [id, encodeRecord({ url }), LOST_MS, EVENTS_CHANNEL, eventMessage({ type: 'replica', id })])
}

export async function removeReplica (redis: Redis, id: string): Promise<void> {
  await REMOVE_REPLICA.run(redis, KEYS, [id, EVENTS_CHANNEL, eventMessage({ type: 'replica', id })])
}

export async function listReplicas (redis: Redis): Promise<ReplicaList> {
  const [, ...entries] = await LIST_REPLICAS.run(redis, KEYS, [LOST_MS])
  const replicas: ReplicaRecord[] = []
  const refused: string[] = []
  for (let i = 0; i < entries.length; i += 2) {
    const id = entries[i]!
    try {
      replicas.push({ id, ...decodeRecord<Omit<ReplicaRecord, 'id'>>(`inference process ${id}`, entries[i + 1]!) })
    } catch (error) {
      // It must not hide the others: during an upgrade there are both.
      if (!isOfNewerSchema(error)) throw error
      refused.push(error.message)
    }
  }
  return { replicas, refused }
}
