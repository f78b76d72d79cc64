/** What an orchestrator and a monitor ask a process that may have no other port. Each answer says what is true now. */
import { once } from 'node:events'
import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Logger } from 'pino'
import type { Lifecycle } from './lifecycle.js'

export interface HealthServer {
  close (): Promise<void>
}

/** @param port 0: a free one, which the log says. @throws Error when it is taken */
export async function openHealthServer (host: string, port: number, lifecycle: Lifecycle, logger: Logger): Promise<HealthServer> {
  const server = createServer((request, response) => {
    answer(`${request.method} ${request.url}`, response, lifecycle).catch((error: unknown) => {
      logger.error({ err: error }, 'health request failed')
      reply(response, 500, { status: 'failed' })
    })
  })
  server.listen(port, host)
  await once(server, 'listening')
  logger.info({ host, port: (server.address() as AddressInfo).port }, 'health port listens')
  return {
    async close () {
      server.close()
      server.closeAllConnections()
      await once(server, 'close')
    }
  }
}

async function answer (route: string, response: ServerResponse, lifecycle: Lifecycle): Promise<void> {
  switch (route) {
    case 'GET /healthz': return reply(response, 200, { status: 'ok' })
    case 'GET /readyz': {
      const { readiness } = lifecycle
      return reply(response, readiness.status === 'ready' ? 200 : 503, readiness)
    }
    case 'GET /metrics': {
      const text = await lifecycle.metrics.metrics()
      response.writeHead(200, { 'content-type': lifecycle.metrics.contentType }).end(text)
      return
    }
    default: return reply(response, 404, { status: 'no such path; there are /healthz, /readyz and /metrics' })
  }
}

function reply (response: ServerResponse, status: number, body: object): void {
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body))
}
