/** The api process: configuration, connections, a port, signals. What it serves is `app.ts`. */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Logger } from 'pino'
import { badConfig, type Config, DEFAULT_KV_SLOTS } from '../config.js'
import { OutputCompiler } from '../constraint/compiler.js'
import { HOW_TO_MAKE_A_KEY, prepareRegistry } from '../first-start/prepare-registry.js'
import { InferencePool } from '../inference/client-pool.js'
import { replicaSource } from '../inference/client-replicas-source.js'
import { runProcess } from '../lifecycle/run-process.js'
import { type Base, BASE_FILES } from '../model/base.js'
import { loadTokenizer } from '../model/bpe-tokenizer.js'
import { ChatTemplate } from '../model/chat-template.js'
import { basePlace, openCurrentBase } from '../model/current-base.js'
import type { Tokenizer } from '../model/tokenizer.js'
import { TokenizerPool } from '../model/tokenizer-pool.js'
import { redisPlace } from '../registry/redis-connection.js'
import { RedisRegistry } from '../registry/redis-registry.js'
import { openStores, storePlace } from '../registry/store/open-stores.js'
import { buildApp } from './app.js'

/** Whoever spreads requests over several apis gets this long to see `/readyz` say 503 before connections are refused. */
const NOTICE_MS = 2_000
/** Answers under way get this long after that; what is left then is cut off. */
const GRACE_MS = 25_000

/** Resolves when the process was told to stop and every request has its answer. @throws Error when it cannot start */
export async function runApi (config: Config): Promise<void> {
  const { REDIS_URL: redisUrl } = config
  if (redisUrl === undefined) throw badConfig('REDIS_URL: the api needs a Redis server')
  await runProcess('api', config, async (lifecycle, logger) => {
    const base = await lifecycle.waitFor(basePlace(config), () => openCurrentBase(config))
    const { objects, artifacts } = await lifecycle.waitFor(storePlace(config), () => openStores(config))
    const redis = redisPlace(redisUrl)
    const registry = await lifecycle.waitFor(redis, () => RedisRegistry.connect({
      url: redisUrl, objects, whenDown: 'fail', connectMs: 0, onError: error => logger.warn({ err: error }, 'Redis')
    }))
    const tokenizer = await loadTokenizer(base.folder)
    const chatTemplate = await openChatTemplate(base)
    const inference = await InferencePool.open(replicaSource(config, registry, logger), { base: base.manifest.digest, secret: config.INFERENCE_SECRET, logger })
    const tokenizerPool = new TokenizerPool(base.folder)
    const outputs = new OutputCompiler()
    try {
      for (const warning of await lifecycle.waitFor(redis, () => registry.checkRedis())) logger.warn({ warning }, 'this Redis is not set up for lasting data')
      await lifecycle.waitFor(redis, () => registry.requeueLostJobs())
      const { firstKey, hasKeys } = await lifecycle.waitFor(redis, () => prepareRegistry({ registry, artifacts, base: base.manifest, firstKey: config.FIRST_API_KEY }))
      if (firstKey !== null) logger.info({ key: firstKey.id }, 'the key of FIRST_API_KEY is the first one')
      if (!hasKeys) logger.warn(HOW_TO_MAKE_A_KEY)
      const app = await buildApp({
        registry,
        artifacts,
        objects,
        inference,
        base: base.manifest,
        tokenizer,
        tokenizerPool,
        outputs,
        chatPrompt: chatTemplate === null ? null : message => chatTemplate.render([{ role: 'user', content: message }], specialTexts(base, tokenizer)),
        limits: {
          maxContext: Math.min(config.MAX_CONTEXT, base.manifest.config.contextLength),
          maxFileBytes: config.MAX_FILE_BYTES,
          maxMicroBatchTokens: config.MAX_MICRO_BATCH_TOKENS,
          itemsAtOnce: config.KV_SLOTS ?? DEFAULT_KV_SLOTS
        },
        metrics: lifecycle.metrics,
        stopping: lifecycle.signal,
        logger
      })
      const url = await app.listen({ host: config.HOST, port: config.PORT })
      // Also without Redis: this process says what is wrong in the words of the API, which no balancer in front of it knows.
      lifecycle.ready()
      logger.info({ url, base: base.manifest.name }, 'api listens')
      await lifecycle.stopping
      logger.info('api stops')
      // Only then is anybody there who looks.
      if (config.HEALTH_PORT !== undefined) await sleep(NOTICE_MS)
      cutOffLate(() => app.server.closeAllConnections(), logger)
      await app.close()
    } finally {
      chatTemplate?.close()
      await tokenizerPool.close()
      await outputs.close()
      await inference.close()
      await registry.close()
    }
  })
}

async function openChatTemplate ({ folder, manifest }: Base): Promise<ChatTemplate | null> {
  return manifest.hasChatTemplate ? new ChatTemplate(await readFile(join(folder, BASE_FILES.chatTemplate), 'utf8')) : null
}

/** Some templates write the base's own begin and end tokens. */
function specialTexts ({ manifest: { config } }: Base, tokenizer: Tokenizer): { bosToken: string, eosToken: string } {
  const text = (id: number | null | undefined): string => id === null || id === undefined ? '' : tokenizer.decode([id], { keepSpecial: true })
  return { bosToken: text(config.bosTokenId), eosToken: text(config.eosTokenIds[0]) }
}

function cutOffLate (cutOff: () => void, logger: Logger): void {
  setTimeout(() => {
    logger.warn({ graceMs: GRACE_MS }, 'answers under way took too long and are cut off')
    cutOff()
  }, GRACE_MS).unref()
}
