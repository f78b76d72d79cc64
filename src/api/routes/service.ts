/** What an orchestrator, a monitor and a client generator ask; no key is needed. */
import { Type } from '@sinclair/typebox'
import { ServiceError } from '../../errors.js'
import type { InferenceClient } from '../../inference/client-contract.js'
import { VERSION } from '../../project.js'
import type { Application } from '../application.js'
import type { ApiServices } from '../services.js'
import { NoQuery } from '../wire.js'

/** A check that takes longer says as much as one that fails. */
const CHECK_MS = 2_000

/** Well formed, so that the registry really looks for it. */
const NO_KEY = `pf_${'0'.repeat(43)}`

export const ReadySchema = Type.Object({
  status: Type.Union([Type.Literal('ready'), Type.Literal('not_ready')]),
  checks: Type.Record(Type.String(), Type.String(), { description: '"ok" or why not' })
})

export function serviceRoutes (app: Application, { registry, objects, inference, metrics, stopping }: ApiServices): void {
  app.get('/healthz', {
    schema: { summary: 'The process runs', tags: ['service'], querystring: NoQuery, response: { 200: Type.Object({ status: Type.Literal('ok'), version: Type.String() }) } }
  }, async () => ({ status: 'ok' as const, version: VERSION }))

  app.get('/readyz', {
    schema: { summary: 'Redis, the store and an inference process answer, and this process is not told to stop', tags: ['service'], querystring: NoQuery, response: { 200: ReadySchema, 503: ReadySchema } }
  }, async (_request, reply) => {
    const [redis, store] = await Promise.all([
      // Any read will do: only Redis knows that there is no such key.
      outcome(registry.findKey(NO_KEY).then(() => 'ok')),
      outcome(objects.has('readyz').then(() => 'ok'))
    ])
    const checks = { redis, store, inference: inferenceState(inference), ...stopping.aborted ? { api: 'stopping' } : {} }
    const ready = Object.values(checks).every(check => check === 'ok')
    if (!ready) reply.header('retry-after', '1')
    return await reply.code(ready ? 200 : 503).send({ status: ready ? 'ready' : 'not_ready', checks })
  })

  app.get('/metrics', {
    schema: { summary: 'Prometheus metrics', tags: ['service'], querystring: NoQuery, produces: ['text/plain'] }
  }, async (_request, reply) => await reply.type(metrics.contentType).send(await metrics.metrics()))

  app.get('/openapi.json', { schema: { hide: true, querystring: NoQuery } }, async () => app.swagger())
}

/** One that is ready will do: a request finds it. */
function inferenceState (inference: InferenceClient): string {
  const answering = inference.replicas().flatMap(({ status }) => status ?? [])
  if (answering.length === 0) return 'inference_unavailable'
  return answering.some(({ ready }) => ready) ? 'ok' : 'starting'
}

async function outcome (check: Promise<string>): Promise<string> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<string>(resolve => { timer = setTimeout(() => resolve(`no answer within ${CHECK_MS} ms`), CHECK_MS) })
  try {
    return await Promise.race([check, late])
  } catch (error) {
    return error instanceof ServiceError ? error.code : 'failed'
  } finally {
    clearTimeout(timer)
  }
}
