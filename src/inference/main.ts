/** The inference process: one base, one serving graph, one socket. Everything else it needs arrives by request. */
import { mkdir, rm } from 'node:fs/promises'
import { connect } from 'node:net'
import { availableParallelism } from 'node:os'
import { dirname } from 'node:path'
import type { Server } from 'node:http'
import type { Logger } from 'pino'
import { badConfig, type Config } from '../config.js'
import { ServiceError } from '../errors.js'
import { createLogger } from '../logger.js'
import { openBase, type Base } from '../model/base.js'
import { openStores } from '../registry/store/open-stores.js'
import { inferenceAddress, type InferenceAddress } from './client-address.js'
import { openEngine } from './engine/open-engine.js'
import { followPublishedVersions } from './published-versions.js'
import { createInferenceServer, type Backend } from './server.js'
import type { InferenceService } from './service.js'
import { startService, type ServiceSettings } from './start-service.js'

/** Answers under way get this long after SIGTERM. */
const GRACE_MS = 20_000
/** After the last answer its bytes get this long to leave. */
const FLUSH_MS = 1000

/** Resolves when the process was told to stop and everything is closed. @throws Error when it cannot start */
export async function runInference (config: Config): Promise<void> {
  const logger = createLogger('inference', config.LOG_LEVEL)
  if (config.BASE_FOLDER === undefined) throw badConfig('BASE_FOLDER: the folder of an imported base is needed')
  const address = inferenceAddress(config)
  const base = await openBase(config.BASE_FOLDER)
  const stopping = stopSignal()
  let backend: Backend = starting(base, config)
  const server = createInferenceServer(() => backend, logger)
  await listen(server, address)
  logger.info(address, 'inference process listens')
  try {
    const { artifacts } = await openStores(config)
    const running = await startService(base, artifacts, settingsOf(config), logger, options => openEngine(options, reason => {
      logger.warn({ err: reason }, 'ONNX Runtime cannot be called directly: the slow engine runs')
    }))
    backend = running.service
    logger.info('inference process is ready')
    const unfollow = followVersions(config, running.service, logger)
    await stopping
    logger.info('inference process stops')
    unfollow()
    server.close() // a request on a kept connection is still refused in words
    await running.stop(GRACE_MS)
    server.closeIdleConnections()
  } finally {
    server.close()
    setTimeout(() => server.closeAllConnections(), FLUSH_MS).unref()
  }
}

function settingsOf (config: Config): ServiceSettings {
  return {
    format: config.SERVING_GRAPH, slots: config.KV_SLOTS, maxContext: config.MAX_CONTEXT, maxWaiting: config.MAX_QUEUE,
    promptCacheBytes: config.PROMPT_CACHE_BYTES, threads: config.INFERENCE_THREADS || availableParallelism()
  }
}

function followVersions (config: Config, service: InferenceService, logger: Logger): () => void {
  if (config.REDIS_URL === undefined) return () => {}
  return followPublishedVersions(config.REDIS_URL, digest => {
    service.preload(digest).then(
      () => logger.info({ prompt: digest }, 'published prompt loaded'),
      (error: unknown) => {
        // Another process may serve another base from the same registry.
        if (error instanceof ServiceError && error.code === 'wrong_base') return
        logger.warn({ prompt: digest, err: error }, 'published prompt not loaded')
      })
  }, connected => connected ? logger.info('new versions are followed') : logger.warn('Redis is away: new versions load on their first request'))
}

/** What answers until the graph is loaded. */
function starting (base: Base, config: Config): Backend {
  const { manifest } = base
  const format = config.SERVING_GRAPH
  return {
    submit: async () => { throw new ServiceError('starting', 'the model is being loaded', { retryAfter: 2 }) },
    status: () => ({
      ready: false, base: manifest.digest, servingGraph: manifest.serving[format].digest, format, engine: 'c-api',
      maxContext: Math.min(config.MAX_CONTEXT, manifest.config.contextLength), slots: config.KV_SLOTS,
      running: 0, waiting: 0, promptsCached: 0, promptCacheBytes: 0, stepsTotal: 0, tokensTotal: 0
    })
  }
}

function stopSignal (): Promise<void> {
  return new Promise(resolve => {
    for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => resolve())
  })
}

/** @throws Error when another process listens there */
async function listen (server: Server, address: InferenceAddress): Promise<void> {
  if ('socketPath' in address) {
    await mkdir(dirname(address.socketPath), { recursive: true })
    if (await answers(address)) throw new Error(`another process listens on ${address.socketPath}`)
    // What a killed process left behind.
    await rm(address.socketPath, { force: true })
  }
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen('socketPath' in address ? { path: address.socketPath } : address, () => resolve())
  })
}

function answers (address: { readonly socketPath: string }): Promise<boolean> {
  return new Promise(resolve => {
    const socket = connect({ path: address.socketPath })
    socket.once('connect', () => { socket.destroy(); resolve(true) })
    socket.once('error', () => resolve(false))
  })
}
