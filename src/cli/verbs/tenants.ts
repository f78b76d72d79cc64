import { parseArgs } from 'node:util'
import { loadConfig } from '../../config.js'
import { openOperatorRegistry } from '../operator-registry.js'
import { positionals, UsageError, type Verb } from '../verb.js'

export const verb: Verb = {
  usage: 'permafrost tenants weight NAME [WEIGHT] [--json]\n\n' +
    'What a tenant was served counts a WEIGHT-th, so one of weight 2 gets twice the share of one of weight 1, the default.\n' +
    'It writes to the service\'s own Redis: no API key can.',
  async run (args) {
    const { values: { json }, positionals: [action, ...rest] } = parseArgs({ args: [...args], allowPositionals: true, options: { json: { type: 'boolean', default: false } } })
    if (action !== 'weight') throw new UsageError(action === undefined ? 'say what to do with the tenant' : `"${action}" is nothing to do with a tenant`)
    const [tenant, wanted] = rest.length < 2 ? positionals(rest, 'NAME') : positionals(rest, 'NAME', 'WEIGHT')
    if (wanted !== undefined && (wanted.trim() === '' || !Number.isFinite(Number(wanted)))) throw new UsageError(`"${wanted}" is no weight`)
    const registry = await openOperatorRegistry(loadConfig(process.env))
    try {
      if (wanted !== undefined) await registry.setTenantWeight(tenant!, Number(wanted))
      const weight = await registry.tenantWeight(tenant!)
      console.log(json ? JSON.stringify({ tenant, weight }) : `${tenant!} has weight ${weight}`)
      return 0
    } finally {
      await registry.close()
    }
  }
}
