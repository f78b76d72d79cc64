/** The HTTP application, from what it needs to routes; no port, no environment, no signals. */
import { randomBytes } from 'node:crypto'
import swagger from '@fastify/swagger'
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import Fastify, { type FastifyBaseLogger, type FastifyRequest, LogController } from 'fastify'
import { ServiceError } from '../errors.js'
import { AllowedMethods } from './allowed-methods.js'
import type { Application } from './application.js'
import { authenticate } from './auth.js'
import { refuseMalformedHttp, replyWithError } from './errors.js'
import { acceptJson } from './json-body.js'
import { createMetrics } from './metrics.js'
import { OpenConnections } from './open-connections.js'
import { OPENAPI } from './openapi.js'
import { aliasRoutes } from './routes/aliases.js'
import { baseRoutes } from './routes/bases.js'
import { fileRoutes } from './routes/files.js'
import { inferRoutes } from './routes/infer.js'
import { keyRoutes } from './routes/keys.js'
import { serviceRoutes } from './routes/service.js'
import { taskRoutes } from './routes/tasks.js'
import { trainingJobRoutes } from './routes/training-jobs.js'
import { versionRoutes } from './routes/versions.js'
import type { ApiServices } from './services.js'

/** Longer than any name or id we give, so that a wrong one is answered as unknown and not as a bad URL. */
const MAX_PATH_PARAMETER = 500

/** For a whole request to arrive: 100 MB at 1.4 Mbit/s. Without it a client that stalls holds its memory for ever. */
const REQUEST_MS = 10 * 60 * 1000

export async function buildApp (services: ApiServices): Promise<Application> {
  const { registry, base, limits, logger } = services
  const app: Application = Fastify({
    loggerInstance: logger as FastifyBaseLogger,
    // Replaced below: one line, and no URL, which holds names.
    logController: new LogController({ disableRequestLogging: true }),
    genReqId: () => `req_${randomBytes(12).toString('hex')}`,
    requestTimeout: REQUEST_MS,
    routerOptions: { maxParamLength: MAX_PATH_PARAMETER },
    frameworkErrors: replyWithError,
    clientErrorHandler: refuseMalformedHttp,
    // While closing, a request on a kept connection is still answered; the connection closes behind it.
    return503OnClosing: false,
    // An unknown field is an error that names it, a text where a number belongs is one too.
    ajv: { customOptions: { removeAdditional: false, coerceTypes: false, useDefaults: false, allErrors: true } }
  }).withTypeProvider<TypeBoxTypeProvider>()

  const metrics = createMetrics(services.metrics, services.inference, registry)
  const methods = new AllowedMethods()
  const closing = new AbortController()
  const connections = new OpenConnections(app.server)

  acceptJson(app)
  app.decorateRequest('key', null)
  app.setErrorHandler((error, request, reply) => replyWithError(error, request, reply))
  app.addHook('onRoute', route => {
    if (route.url.startsWith('/v1/') && route.config?.scopes === undefined) throw new Error(`internal: ${route.url} names no scopes, so it would be open to everyone`)
    methods.add(route.url, [route.method].flat())
  })
  app.addHook('onRequest', async (request, reply) => {
    reply.header('x-request-id', request.id)
    // Before the body is looked at: a wrong path is not a matter of its content type.
    if (request.is404 || hasEmptyName(request)) {
      const allowed = methods.of(request.url)
      if (allowed.length > 0) reply.header('allow', allowed.join(', '))
      throw unknownRoute(request, allowed)
    }
    await authenticate(request, registry)
  })
  app.addHook('onResponse', async (request, reply) => {
    const route = request.routeOptions.url ?? 'unknown'
    const ms = Math.round(reply.elapsedTime * 10) / 10
    metrics.observeRequest(route, request.method, reply.statusCode, reply.elapsedTime / 1000)
    request.log.info({ method: request.method, route, status: reply.statusCode, ms, tenant: request.key?.tenant }, 'request answered')
  })
  app.addHook('preClose', async () => {
    closing.abort()
    connections.close()
  })

  await app.register(swagger, OPENAPI)
  await app.register(async routes => {
    const scope = routes.withTypeProvider<TypeBoxTypeProvider>()
    keyRoutes(scope, registry)
    baseRoutes(scope, base, limits.maxContext, services.chatPrompt !== null)
    taskRoutes(scope, services)
    fileRoutes(scope, services)
    trainingJobRoutes(scope, services, closing.signal)
    versionRoutes(scope, services)
    aliasRoutes(scope, registry)
    inferRoutes(scope, services, metrics)
    serviceRoutes(scope, services)
  })
  await app.ready()
  return app
}

/** `/v1/tasks/` is no task without a name. */
function hasEmptyName (request: FastifyRequest): boolean {
  return Object.values(request.params as Record<string, string>).includes('')
}

function unknownRoute (request: FastifyRequest, allowed: readonly string[]): ServiceError {
  return allowed.length === 0
    ? new ServiceError('route_not_found', 'there is no such path; GET /openapi.json lists all')
    : new ServiceError('method_not_allowed', `${request.method} is not for this path, which takes ${allowed.join(', ')}`)
}
