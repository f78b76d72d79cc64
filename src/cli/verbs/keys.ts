import { parseArgs } from 'node:util'
import { loadConfig } from '../../config.js'
import { DEFAULT_TENANT } from '../../registry/names.js'
import { type Registry, type Scope, SCOPES } from '../../registry/registry.js'
import { openOperatorRegistry } from '../operator-registry.js'
import { knownApiKey, openClient } from '../running-service.js'
import { UsageError, positionals, type Verb } from '../verb.js'

interface Key { readonly id: string, readonly name: string, readonly scopes: readonly string[], readonly created_at: string }

/** The same three wishes, to the server with a key or, as its operator, to its Redis without one. */
interface Keys {
  create (name: string, scopes: readonly Scope[] | undefined): Promise<Key & { readonly secret: string }>
  list (): Promise<readonly Key[]>
  revoke (id: string): Promise<void>
}

export const verb: Verb = {
  usage: 'permafrost keys create [--tenant NAME] [--scopes infer,train] [--name NAME] | list [--tenant NAME] | revoke KEY [--tenant NAME] [--json]\n\n' +
    'With --tenant it writes to the service\'s own Redis and needs no key; a new tenant is made by its first key.\n' +
    `Without, it does the same for tenant ${DEFAULT_TENANT} where REDIS_URL is set and no key is known. Keys made in this way have\n` +
    `all scopes unless some are named: ${SCOPES.join(', ')}. A secret is shown once.`,
  async run (args) {
    const { values, positionals: [action, ...rest] } = parseArgs({
      args: [...args],
      allowPositionals: true,
      options: { json: { type: 'boolean', default: false }, tenant: { type: 'string' }, scopes: { type: 'string' }, name: { type: 'string', default: 'command line' } }
    })
    switch (action) {
      case 'create': {
        positionals(rest)
        const scopes = values.scopes === undefined ? undefined : parseScopes(values.scopes)
        const key = await withKeys(values.tenant, async keys => await keys.create(values.name, scopes))
        console.log(values.json ? JSON.stringify(key) : `${key.id} (${key.scopes.join(', ')}); the secret is shown this once:\n${key.secret}`)
        return 0
      }
      case 'list': {
        positionals(rest)
        const all = await withKeys(values.tenant, async keys => await keys.list())
        if (values.json) console.log(JSON.stringify(all))
        else for (const key of all) console.log(`${key.id}  ${key.created_at}  ${key.scopes.join(',')}  ${key.name}`)
        return 0
      }
      case 'revoke': {
        const [id] = positionals(rest, 'KEY')
        await withKeys(values.tenant, async keys => await keys.revoke(id!))
        console.log(values.json ? JSON.stringify({ id, revoked: true }) : `${id ?? ''} is revoked`)
        return 0
      }
      default: throw new UsageError(action === undefined ? 'say what to do with the keys' : `"${action}" is nothing to do with a key`)
    }
  }
}

function parseScopes (text: string): Scope[] {
  return text.split(',').map(name => {
    const scope = SCOPES.find(scope => scope === name.trim())
    if (scope === undefined) throw new UsageError(`"${name}" is no scope; there are ${SCOPES.join(', ')}`)
    return scope
  })
}

async function withKeys<T> (named: string | undefined, work: (keys: Keys) => Promise<T>): Promise<T> {
  const config = loadConfig(process.env)
  const hasNoOtherWay = config.REDIS_URL !== undefined && await knownApiKey(config) === undefined
  const tenant = named ?? (hasNoOtherWay ? DEFAULT_TENANT : undefined)
  if (tenant === undefined) return await work(await keysOverHttp())
  const registry = await openOperatorRegistry(config)
  try {
    return await work(keysOf(registry, tenant))
  } finally {
    await registry.close()
  }
}

async function keysOverHttp (): Promise<Keys> {
  const client = await openClient()
  return {
    async create (name, scopes) {
      if (scopes === undefined) throw new UsageError(`--scopes is missing: a list of ${SCOPES.join(', ')}`)
      return await client.post('/v1/keys', { name, scopes })
    },
    list: async () => (await client.get<{ data: Key[] }>('/v1/keys')).data,
    revoke: async id => await client.delete(`/v1/keys/${encodeURIComponent(id)}`)
  }
}

function keysOf (registry: Registry, tenant: string): Keys {
  return {
    async create (name, scopes = SCOPES) {
      const { id, secret, createdAt } = await registry.createKey(tenant, name, scopes)
      return { id, name, scopes, created_at: createdAt, secret }
    },
    list: async () => (await registry.listKeys(tenant)).map(({ id, name, scopes, createdAt }) => ({ id, name, scopes, created_at: createdAt })),
    revoke: async id => await registry.revokeKey(tenant, id)
  }
}
