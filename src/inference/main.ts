/** The inference process: one base, one serving graph, one socket. Everything else it needs arrives by request. */
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { mkdir, rm, stat } from 'node:fs/promises'
import { type AddressInfo, connect } from 'node:net'
import { availableParallelism } from 'node:os'
import { dirname, join } from 'node:path'
import type { Server } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Redis } from 'ioredis'
import type { Logger } from 'pino'
import type { Config } from '../config.js'
import { ServiceError } from '../errors.js'
import { runProcess } from '../lifecycle/run-process.js'
import { type Base, BASE_FILES } from '../model/base.js'
import { basePlace, openCurrentBase } from '../model/current-base.js'
import { openRedis, redisPlace } from '../registry/redis-connection.js'
import { openStores, storePlace } from '../registry/store/open-stores.js'
import { advertisedUrl, type InferenceAddress, listenAddress } from './client-address.js'
import { measureReplicas } from './client-metrics.js'
import { openEngine } from './engine/open-engine.js'
import { type MemoryPlan, type MemoryWishes, planMemory } from './memory-plan.js'
import { NO_PROMPTS } from './protocol.js'
import { followPublishedVersions } from './published-versions.js'
import { Registration } from './registration.js'
import { createInferenceServer, type Backend } from './server.js'
import type { InferenceService } from './service.js'
import { startService, type ServiceSettings } from './start-service.js'

/** Answers under way get this long after SIGTERM. */
const GRACE_MS = 20_000
/** After the last answer its bytes get this long to leave. */
const FLUSH_MS = 1000

/** Resolves when the process was told to stop and everything is closed. @throws Error when it cannot start */
export async function runInference (config: Config): Promise<void> {
  const wanted = listenAddress(config)
  const { REDIS_URL: redisUrl, INFERENCE_SECRET: secret } = config
  const id = randomUUID()
  await runProcess('inference', config, async (lifecycle, logger) => {
    const base = await lifecycle.waitFor(basePlace(config), () => openCurrentBase(config))
    const { artifacts } = await lifecycle.waitFor(storePlace(config), () => openStores(config))
    const redis = redisUrl === undefined ? null : await lifecycle.waitFor(redisPlace(redisUrl), () => openRedis(redisUrl, 'fail', () => {}, 0))
    const plan = planMemory(base.manifest.config, positionsOf(base, config), await weightBytes(base, config), wishesOf(config))
    let backend: Backend = starting(base, config, plan)
    const server = createInferenceServer(() => backend, { id, secret }, logger)
    try {
      const address = await listen(server, wanted)
      logger.info({ ...address, id }, 'inference process listens')
      const running = await lifecycle.waitFor('the serving graph', () => startService(base, artifacts, settingsOf(config, plan), logger, options => openEngine(options, reason => {
        logger.warn({ err: reason }, 'ONNX Runtime cannot be called directly: the slow engine runs')
      })))
      logger.info({ engine: running.engine.kind, ...plan }, 'memory at most')
      backend = running.service
      measureReplicas(lifecycle.metrics, () => [{ status: running.service.status() }])
      const registration = redis === null ? null : register(redis, id, config, address, logger)
      lifecycle.ready(() => registration?.registered === false ? redisPlace(redisUrl!) : null)
      logger.info('inference process is ready')
      const unfollow = followVersions(config, running.service, logger)
      await lifecycle.stopping
      logger.info('inference process stops')
      // First, so that no api begins anything here; what is on its way is still refused in words, and goes to another.
      await registration?.end()
      unfollow()
      await running.stop(GRACE_MS)
    } finally {
      redis?.disconnect()
      await close(server)
    }
  })
}

function register (redis: Redis, id: string, config: Config, address: InferenceAddress, logger: Logger): Registration {
  return new Registration(redis, {
    id,
    url: localAddress => advertisedUrl(config, address, localAddress),
    onChange: url => url === null ? logger.warn('Redis is away: no api that does not know this process finds it') : logger.info({ url, id }, 'registered')
  })
}

function settingsOf (config: Config, { slots, promptCacheBytes, promptEmbeddingBytes }: MemoryPlan): ServiceSettings {
  return {
    format: config.SERVING_GRAPH, slots, maxContext: config.MAX_CONTEXT, maxWaiting: config.MAX_QUEUE,
    promptCacheBytes, promptEmbeddingBytes, threads: config.INFERENCE_THREADS || availableParallelism()
  }
}

function wishesOf (config: Config): MemoryWishes {
  return { budget: config.INFERENCE_MEMORY_BYTES, slots: config.KV_SLOTS, promptCacheBytes: config.PROMPT_CACHE_BYTES, promptEmbeddingBytes: config.PROMPT_EMBEDDING_BYTES }
}

/** T: positions of a slot. */
function positionsOf ({ manifest }: Base, config: Config): number {
  return Math.min(config.MAX_CONTEXT, manifest.config.contextLength)
}

/**
 * Of the graphs and their external data. Of a float32 head ONNX Runtime keeps a copy in another order; the graph for packs
 * has its own of all but the embedding.
 */
async function weightBytes ({ folder, manifest: { config: { vocabSize, hiddenSize }, serving } }: Base, { SERVING_GRAPH: format }: Config): Promise<number> {
  const data = format === 'w8a8' ? BASE_FILES.w8a8Data : BASE_FILES.weights
  const files = [BASE_FILES.serving[format], data, ...serving[format].lanes === true ? [BASE_FILES.lanes, data] : []]
  const sizes = await Promise.all(files.map(async file => (await stat(join(folder, file))).size))
  const matrix = vocabSize * hiddenSize * 4
  return sizes.reduce((total, size) => total + size, format === 'float32' ? matrix : serving.w8a8.lanes === true ? -matrix : 0)
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
function starting (base: Base, config: Config, { slots }: MemoryPlan): Backend {
  const { manifest } = base
  const format = config.SERVING_GRAPH
  return {
    submit: async () => { throw new ServiceError('starting', 'the model is being loaded', { retryAfter: 2 }) },
    status: () => ({
      ready: false, base: manifest.digest, servingGraph: manifest.serving[format].digest, format, engine: 'c-api',
      maxContext: positionsOf(base, config), slots,
      running: 0, waiting: 0, ...NO_PROMPTS, stepsTotal: 0, tokensTotal: 0, packedInputsTotal: 0
    })
  }
}

/** @returns the address with the port that 0 became. @throws Error when another process listens there */
async function listen (server: Server, address: InferenceAddress): Promise<InferenceAddress> {
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
  return 'socketPath' in address ? address : { host: address.host, port: (server.address() as AddressInfo).port }
}

async function close (server: Server): Promise<void> {
  if (!server.listening) return
  const closed = once(server, 'close')
  server.close()
  server.closeIdleConnections()
  await Promise.race([closed, sleep(FLUSH_MS)])
  server.closeAllConnections()
}

function answers (address: { readonly socketPath: string }): Promise<boolean> {
  return new Promise(resolve => {
    const socket = connect({ path: address.socketPath })
    socket.once('connect', () => { socket.destroy(); resolve(true) })
    socket.once('error', () => resolve(false))
  })
}
