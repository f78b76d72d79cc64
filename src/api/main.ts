/** The api process: configuration, connections, a port, signals. What it serves is `app.ts`. */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Logger } from 'pino'
import { badConfig, type Config } from '../config.js'
import { HttpInferenceClient } from '../inference/client.js'
import { inferenceAddress } from '../inference/client-address.js'
import { createLogger } from '../logger.js'
import { type Base, BASE_FILES, openBase } from '../model/base.js'
import { loadTokenizer } from '../model/bpe-tokenizer.js'
import { ChatTemplate } from '../model/chat-template.js'
import type { Tokenizer } from '../model/tokenizer.js'
import { TokenizerPool } from '../model/tokenizer-pool.js'
import { RedisRegistry } from '../registry/redis-registry.js'
import { openStores } from '../registry/store/open-stores.js'
import { buildApp } from './app.js'

/** Answers under way get this long after SIGTERM; what is left then is cut off. */
const GRACE_MS = 25_000

/** Resolves when the process was told to stop and every request has its answer. @throws Error when it cannot start */
export async function runApi (config: Config): Promise<void> {
  const logger = createLogger('api', config.LOG_LEVEL)
  if (config.BASE_FOLDER === undefined) throw badConfig('BASE_FOLDER: the folder of an imported base is needed')
  if (config.REDIS_URL === undefined) throw badConfig('REDIS_URL: the api needs a Redis server')
  const stopping = stopSignal()
  const base = await openBase(config.BASE_FOLDER)
  const tokenizer = await loadTokenizer(base.folder)
  const chatTemplate = await openChatTemplate(base)
  const { objects, artifacts } = await openStores(config)
  const registry = await RedisRegistry.connect({ url: config.REDIS_URL, objects, whenDown: 'fail', onError: error => logger.warn({ err: error }, 'Redis') })
  const inference = new HttpInferenceClient(inferenceAddress(config))
  const tokenizerPool = new TokenizerPool(base.folder)
  try {
    for (const warning of await registry.checkRedis()) logger.warn({ warning }, 'this Redis is not set up for lasting data')
    await registry.requeueLostJobs()
    const app = await buildApp({
      registry,
      artifacts,
      objects,
      inference,
      base: base.manifest,
      tokenizer,
      tokenizerPool,
      chatPrompt: chatTemplate === null ? null : message => chatTemplate.render([{ role: 'user', content: message }], specialTexts(base, tokenizer)),
      limits: {
        maxContext: Math.min(config.MAX_CONTEXT, base.manifest.config.contextLength),
        maxFileBytes: config.MAX_FILE_BYTES,
        itemsAtOnce: config.KV_SLOTS
      },
      logger
    })
    const url = await app.listen({ host: config.HOST, port: config.PORT })
    logger.info({ url, base: base.manifest.name }, 'api listens')
    await stopping
    logger.info('api stops')
    cutOffLate(() => app.server.closeAllConnections(), logger)
    await app.close()
  } finally {
    chatTemplate?.close()
    await tokenizerPool.close()
    await inference.close()
    await registry.close()
  }
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

function stopSignal (): Promise<void> {
  return new Promise(resolve => {
    for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => resolve())
  })
}
