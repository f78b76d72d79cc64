/** The inference process: one base, one serving graph, one socket. Everything else it needs arrives by request. */
import { mkdir, rm } from 'node:fs/promises'
import { connect } from 'node:net'
import { availableParallelism } from 'node:os'
import { dirname, join } from 'node:path'
import type { Server } from 'node:http'
import { pino, type Logger } from 'pino'
import { ConfigError, type Config } from '../config.js'
import { ServiceError } from '../errors.js'
import { BASE_FILES, openBase, type Base } from '../model/base.js'
import { openStores } from '../registry/store/open-stores.js'
import { arenaBytes } from './arena.js'
import { inferenceAddress, type InferenceAddress } from './client-address.js'
import type { Engine } from './engine/engine.js'
import { openEngine } from './engine/open-engine.js'
import { HeadRows } from './head-rows.js'
import { PromptCache } from './prompt-cache.js'
import { PromptLoader } from './prompt-loader.js'
import { followPublishedVersions } from './published-versions.js'
import { createInferenceServer, type Backend } from './server.js'
import { InferenceService } from './service.js'
import { StepLoop } from './step-loop.js'

/** Answers under way get this long after SIGTERM. */
const GRACE_MS = 20_000
/** After the last answer its bytes get this long to leave. */
const FLUSH_MS = 1000

/** Resolves when the process was told to stop and everything is closed. @throws Error when it cannot start */
export async function runInference (config: Config): Promise<void> {
  const logger = pino({ name: 'inference', level: config.LOG_LEVEL })
  if (config.BASE_FOLDER === undefined) throw new ConfigError('bad configuration\n  BASE_FOLDER: the folder of an imported base is needed')
  const address = inferenceAddress(config)
  const base = await openBase(config.BASE_FOLDER)
  const stopping = stopSignal()
  let backend: Backend = starting(base, config)
  const server = createInferenceServer(() => backend, logger)
  await listen(server, address)
  logger.info(address, 'inference process listens')
  try {
    const running = await startService(config, base, logger)
    backend = running.service
    await stopping
    logger.info('inference process stops')
    server.close() // a request on a kept connection is still refused in words
    await running.stop()
    server.closeIdleConnections()
  } finally {
    server.close()
    setTimeout(() => server.closeAllConnections(), FLUSH_MS).unref()
  }
}

interface Running { readonly service: InferenceService, stop (): Promise<void> }

async function startService (config: Config, base: Base, logger: Logger): Promise<Running> {
  const { manifest } = base
  const format = config.SERVING_GRAPH
  const { attention } = manifest.serving[format]
  const startedAt = performance.now()
  const { artifacts } = await openStores(config)
  const headRows = await HeadRows.open(base.folder)
  const maxContext = Math.min(config.MAX_CONTEXT, manifest.config.contextLength)
  const engine = await openEngine({
    file: join(base.folder, BASE_FILES.serving[format]),
    config: manifest.config,
    slots: config.KV_SLOTS + 1, // the last one is for compiling prompts
    positions: maxContext,
    threads: config.INFERENCE_THREADS || availableParallelism()
  }, reason => logger.warn({ err: reason }, 'ONNX Runtime cannot be called directly: the slow engine runs'))
  logger.info({
    base: manifest.name, digest: manifest.digest, format, attention, engine: engine.kind, slots: config.KV_SLOTS, maxContext,
    arenaBytes: arenaBytes(engine.arena.shape), loadMs: Math.round(performance.now() - startedAt)
  }, 'serving graph loaded')
  const loop = new StepLoop({
    engine, hiddenSize: manifest.config.hiddenSize, vocabSize: manifest.config.vocabSize,
    slots: config.KV_SLOTS, maxWaiting: config.MAX_QUEUE, scrub: attention === 'plain',
    onStepFailure: error => logger.error({ err: error }, 'a step failed')
  })
  const loader = new PromptLoader({
    store: artifacts, manifest, format, maxContext,
    headRows: ids => headRows.read(ids), finalNormGain: await headRows.finalNormGain(),
    compile: (embeddings, arrival) => loop.compile(embeddings, arrival)
  })
  const prompts = new PromptCache(config.PROMPT_CACHE_BYTES, (digest, arrival) => loader.load(digest, arrival))
  const service = new InferenceService({ manifest, format, engine: engine.kind, maxContext, loop, prompts, logger })
  const unfollow = followVersions(config, service, logger)
  return {
    service,
    async stop () {
      unfollow()
      await service.stop(GRACE_MS)
      await closeAll(engine, headRows)
    }
  }
}

async function closeAll (engine: Engine, headRows: HeadRows): Promise<void> {
  await engine.close()
  await headRows.close()
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
