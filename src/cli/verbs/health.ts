import { loadConfig } from '../../config.js'
import type { Readiness } from '../../lifecycle/lifecycle.js'
import { serviceUrl } from '../../supervisor/service-url.js'
import { positionals, type Verb } from '../verb.js'

/** A process that takes longer to say that it is ready is not. */
const ANSWER_MS = 3_000

export const verb: Verb = {
  usage: 'permafrost health\n\nAsks the process of this machine that listens on HEALTH_PORT whether it is ready: 0 when it is, else 1\nand one line that says what it waits for. For the health check of a container.',
  async run (args) {
    positionals(args)
    const { HOST, HEALTH_PORT } = loadConfig(process.env)
    const problem = HEALTH_PORT === undefined ? 'HEALTH_PORT is not set, so there is nobody to ask' : await problemAt(serviceUrl({ HOST, PORT: HEALTH_PORT }))
    if (problem === null) return 0
    console.error(problem)
    return 1
  }
}

async function problemAt (url: string): Promise<string | null> {
  try {
    const response = await fetch(`${url}/readyz`, { signal: AbortSignal.timeout(ANSWER_MS) })
    const readiness = await response.json() as Readiness
    switch (readiness.status) {
      case 'ready': return null
      case 'waiting': return `waiting for ${readiness.for}`
      case 'stopping': return 'stopping'
    }
  } catch (error) {
    const { message, cause } = error as Error
    return `no answer from ${url}: ${cause instanceof Error ? cause.message : message}`
  }
}
