import { performance } from 'node:perf_hooks'
import type { Digest } from '../../src/digest.js'
import { HeadRows } from '../../src/inference/head-rows.js'
import { PromptLoader } from '../../src/inference/prompt-loader.js'
import type { RunningService } from '../../src/inference/start-service.js'
import type { Method } from '../../src/prompt/methods.js'
import { classification, collect } from '../../test/inference/tiny-service.js'
import { median } from '../statistics.js'
import { medianTimes, type Times, timesOf } from './times.js'
import { dropPageCache, FORMAT, freshService, INPUT, type Setting, storePrompts } from './setting.js'

const ROUNDS = 3
const PROMPTS = 200

export interface Cold {
  readonly method: Method
  /** False: the store's files came from memory. */
  readonly fromDisk: boolean
  /** From the store to what is kept in memory, without a compilation. */
  readonly load: Times
  /** Milliseconds of a load in which the event loop can do nothing else; a mean. */
  readonly loadBusy: number
  /** Requests to their answer, one after another: the prompt in the store alone, its embeddings in memory, compiled. */
  readonly first: Times, readonly evicted: Times, readonly warm: Times
}

/** Prompts of which the process has never heard, then known ones. */
export async function measureCold (setting: Setting, method: Method): Promise<Cold> {
  const digests = await storePrompts(setting, method, 0, PROMPTS)
  const rounds = []
  for (let round = 0; round < ROUNDS; round++) rounds.push(await measureRound(setting, digests))
  return {
    method,
    fromDisk: rounds.every(({ fromDisk }) => fromDisk),
    load: medianTimes(rounds.map(({ load }) => load)),
    loadBusy: median(rounds.map(({ loadBusy }) => loadBusy)),
    first: medianTimes(rounds.map(({ first }) => first)),
    evicted: medianTimes(rounds.map(({ evicted }) => evicted)),
    warm: medianTimes(rounds.map(({ warm }) => warm))
  }
}

async function measureRound (setting: Setting, digests: readonly Digest[]): Promise<Omit<Cold, 'method'>> {
  const { load, loadBusy } = await loads(setting, digests)
  const roomy = await freshService(setting)
  try {
    await collect(roomy, classification(INPUT, digests[0]!))
    const fromDisk = dropPageCache(setting)
    // The first one has warmed the engine up.
    const first = await requests(roomy, digests.slice(1))
    const warm = await requests(roomy, digests)
    const evicted = await evictedRequests(setting, digests)
    return { fromDisk, load, loadBusy, first, evicted, warm }
  } finally {
    await roomy.stop(0)
  }
}

async function loads (setting: Setting, digests: readonly Digest[]): Promise<Pick<Cold, 'load' | 'loadBusy'>> {
  const { base: { folder, manifest }, artifacts: store } = setting
  const head = await HeadRows.open(folder)
  try {
    const loader = new PromptLoader({ store, manifest, format: FORMAT, maxContext: 1024, headRows: ids => head.read(ids), finalNormGain: await head.finalNormGain() })
    dropPageCache(setting)
    const before = performance.eventLoopUtilization()
    const load = await each(digests, async digest => { await loader.load(digest) })
    return { load, loadBusy: performance.eventLoopUtilization(before).active / digests.length }
  } finally {
    await head.close()
  }
}

/** Room for no prefix: each is evicted when its request ends. */
async function evictedRequests (setting: Setting, digests: readonly Digest[]): Promise<Times> {
  const service = await freshService(setting, 1)
  try {
    await requests(service, digests)
    return await requests(service, digests)
  } finally {
    await service.stop(0)
  }
}

async function requests (service: RunningService, digests: readonly Digest[]): Promise<Times> {
  return await each(digests, async digest => { await collect(service, classification(INPUT, digest)) })
}

async function each (digests: readonly Digest[], work: (digest: Digest) => Promise<void>): Promise<Times> {
  const milliseconds = []
  for (const digest of digests) {
    const begun = performance.now()
    await work(digest)
    milliseconds.push(performance.now() - begun)
  }
  return timesOf(milliseconds)
}
