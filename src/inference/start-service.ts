/** Puts the parts of the inference process together around one base: the only place that knows them all. */
import { join } from 'node:path'
import type { Logger } from 'pino'
import { OutputCompiler } from '../constraint/compiler.js'
import { BASE_FILES, type Base, type ServingFormat } from '../model/base.js'
import type { ArtifactStore } from '../registry/store/artifact-store.js'
import { prefixLength } from './arena.js'
import type { Engine, EngineOptions } from './engine/engine.js'
import { HeadRows } from './head-rows.js'
import { keptPositions } from './memory-plan.js'
import { OutputConstraints } from './output-constraints.js'
import { PromptCache } from './prompt-cache.js'
import { PromptLoader } from './prompt-loader.js'
import { InferenceService } from './service.js'
import { StepLoop } from './step-loop.js'
import { loadVocabulary } from './vocabulary.js'

/** Slots that were not used for this long, or for up to twice as long, give their memory back. */
const SHRINK_MS = 30_000

export interface ServiceSettings {
  readonly format: ServingFormat
  /** Sequences that run at once. */
  readonly slots: number
  /** Positions of a slot; capped by the base. */
  readonly maxContext: number
  /** Sequences that wait before new ones are refused. */
  readonly maxWaiting: number
  /** Of compiled prompts. */
  readonly promptCacheBytes: number
  /** Of the embeddings that prompts are compiled from. */
  readonly promptEmbeddingBytes: number
  /** Intra-op threads, at least 1. */
  readonly threads: number
}

export interface RunningService {
  readonly service: InferenceService
  readonly engine: Engine
  readonly loop: StepLoop
  /** Lets accepted sequences finish for `graceMs`, then frees everything. */
  stop (graceMs: number): Promise<void>
}

/** @throws Error when the base's files or the engine cannot be opened */
export async function startService (base: Base, artifacts: Pick<ArtifactStore, 'get'>, settings: ServiceSettings, logger: Logger, open: (options: EngineOptions) => Promise<Engine>): Promise<RunningService> {
  const { manifest } = base
  const { config } = manifest
  const { format, slots, threads } = settings
  const { attention, lanes } = manifest.serving[format]
  const maxContext = Math.min(settings.maxContext, config.contextLength)
  const startedAt = performance.now()
  const headRows = await HeadRows.open(base.folder)
  // One slot more, the last, is for compiling prompts.
  const [engine, vocabulary] = await Promise.all([
    open({ file: join(base.folder, BASE_FILES.serving[format]), ...(lanes === true ? { lanesFile: join(base.folder, BASE_FILES.lanes) } : {}), config, slots: slots + 1, positions: maxContext, threads }),
    loadVocabulary(base.folder, config.vocabSize)
  ])
  logger.info({
    base: manifest.name, digest: manifest.digest, format, attention, engine: engine.kind, threads, slots, maxContext, loadMs: Math.round(performance.now() - startedAt)
  }, 'serving graph loaded')
  const loop = new StepLoop({
    engine, maxKept: keptPositions(slots, maxContext), hiddenSize: config.hiddenSize, vocabSize: config.vocabSize, slots, maxWaiting: settings.maxWaiting, scrub: attention === 'plain',
    onStepFailure: error => logger.error({ err: error }, 'a step failed')
  })
  const loader = new PromptLoader({
    store: artifacts, manifest, format, maxContext, headRows: ids => headRows.read(ids), finalNormGain: await headRows.finalNormGain()
  })
  const prompts = new PromptCache({
    slots, compiledBytes: settings.promptCacheBytes, embeddingBytes: settings.promptEmbeddingBytes,
    prefixBytes: virtualTokens => prefixLength(engine.arena.shape, virtualTokens) * Float32Array.BYTES_PER_ELEMENT,
    load: digest => loader.load(digest),
    compile: (embeddings, arrival) => loop.compile(embeddings, arrival),
    extend: (prompt, ids, arrival) => loop.extend(prompt, ids, arrival)
  })
  const compiler = new OutputCompiler()
  const outputs = new OutputConstraints(compiler, vocabulary)
  const service = new InferenceService({ manifest, format, engine: engine.kind, maxContext, loop, prompts, outputs, logger })
  const shrinking = setInterval(() => {
    const givenBack = loop.shrink()
    if (givenBack > 0) logger.debug({ slots: givenBack }, 'memory of unused slots given back')
  }, SHRINK_MS).unref()
  return {
    service,
    engine,
    loop,
    async stop (graceMs) {
      clearInterval(shrinking)
      await service.stop(graceMs)
      await compiler.close()
      await engine.close()
      await headRows.close()
    }
  }
}
