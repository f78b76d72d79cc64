/**
 * `npm run bench -- many`: traffic spread evenly over 10,000 prompts against the same traffic to one prompt, with room for
 * the keys and values of a tenth, a quarter, a half, and all of them.
 */
import { availableParallelism, loadavg } from 'node:os'
import { parseArgs } from 'node:util'
import { pino } from 'pino'
import type { Digest } from '../src/digest.js'
import { loadConfig } from '../src/config.js'
import { bytesOfCompiled } from '../src/inference/compiled-prompt.js'
import { CApiEngine } from '../src/inference/engine/c-api.js'
import type { PromptCounts, SequenceRequest } from '../src/inference/protocol.js'
import { type RunningService, startService } from '../src/inference/start-service.js'
import type { Base } from '../src/model/base.js'
import { loadTokenizer } from '../src/model/bpe-tokenizer.js'
import { CALIBRATION_TEXT } from '../src/model/calibration-text.js'
import type { Method } from '../src/prompt/methods.js'
import { promptColumns } from '../src/prompt/peft.js'
import { classification, generate, SETTINGS } from '../test/inference/tiny-service.js'
import { seededNumbers } from '../test/support/numbers.js'
import { openDefaultBase } from './default-base.js'
import { BenchFailure } from './failure.js'
import { LABEL_TOKENS, ManyPrompts, VIRTUAL_TOKENS } from './many/prompts.js'
import { type Traffic, traffic } from './many/traffic.js'
import { report, type Table } from './report.js'
import { inTurn, median, medianRatio, percentile } from './statistics.js'

const FORMAT = 'w8a8'
const PROMPTS = 10_000
const SLOTS = 16
const ROUNDS = 3
/** In each round and of each traffic; half classify, half generate. */
const REQUESTS = 160
const INPUT_TOKENS = 32
const MAX_TOKENS = 12
const SEED = 3
/** The default: those of all prompts fit. */
const EMBEDDING_BYTES = 768 * 2 ** 20

interface Setting {
  readonly name: string
  /** Prefixes are keys and values as they are, so memory is filled in a minute; virtual tokens have to be run through the model. */
  readonly method: Method
  /** Prompts whose keys and values there is room for. */
  readonly room: number
}
const SETTINGS_OF_RUN: readonly Setting[] = [
  ...[1_000, 2_500, 5_000].map((room): Setting => ({ name: `of ${room.toLocaleString('en')}, embeddings of all`, method: 'prompt-tuning', room })),
  { name: 'of all', method: 'prefix-tuning', room: PROMPTS }
]

interface Measured extends Setting {
  /** Before the traffic. */
  readonly before: PromptCounts
  readonly fillSeconds: number
  readonly residentBytes: number
  /** During the traffic. */
  readonly loads: number, readonly compilations: number, readonly virtualTokensRun: number
  readonly one: Summary, readonly many: Summary
  /** Medians over the rounds of many / one. */
  readonly throughputRatio: number, readonly p50Ratio: number, readonly p95Ratio: number
}
/** One number a round. */
interface Summary { readonly perSecond: readonly number[], readonly p50: readonly number[], readonly p95: readonly number[] }

export async function many (args: string[]): Promise<void> {
  const { values } = parseArgs({ args, options: { json: { type: 'boolean', default: false } } })
  const config = loadConfig(process.env)
  const threads = config.INFERENCE_THREADS || availableParallelism()
  const base = await openDefaultBase(config)
  const text = (await loadTokenizer(base.folder)).encode(CALIBRATION_TEXT)
  const loadBefore = loadavg()[0]!
  const measured: Measured[] = []
  for (const setting of SETTINGS_OF_RUN) measured.push(await measure(base, setting, text, threads))
  const raw = {
    base: base.manifest.name, format: FORMAT, threads, prompts: PROMPTS, virtualTokens: VIRTUAL_TOKENS, clients: SLOTS, rounds: ROUNDS, requestsPerRound: REQUESTS,
    inputTokens: INPUT_TOKENS, maxTokens: MAX_TOKENS, loadBefore, loadAfter: loadavg()[0]!, settings: measured
  }
  report('many', [trafficTable(raw), memoryTable(raw)], raw, values.json)
  const missed = missedBy(measured.at(-1)!)
  if (missed.length > 0) throw new BenchFailure(`missed with room for all: ${missed.join(', ')}`)
}

async function measure (base: Base, setting: Setting, text: readonly number[], threads: number): Promise<Measured> {
  process.stderr.write(`${setting.name}\n`)
  const store = new ManyPrompts(base, setting.method, PROMPTS)
  const service = await startService(base, store, { ...SETTINGS, format: FORMAT, slots: SLOTS, maxContext: 256, threads, promptCacheBytes: setting.room * bytesOfOne(base, store.digests[0]!), promptEmbeddingBytes: EMBEDDING_BYTES }, pino({ level: 'silent' }), CApiEngine.open)
  try {
    const begun = performance.now()
    for (const digest of store.digests) await service.service.preload(digest)
    const fillSeconds = (performance.now() - begun) / 1000
    const before = service.service.status()
    const getsBefore = store.gets
    const random = seededNumbers(SEED)
    const rounds = await alternate(service, text, {
      // The one that is used last stays, however little room there is.
      one: () => store.digests[0]!,
      many: () => store.digests[Math.floor((random() + 1) / 2 * PROMPTS)]!
    })
    const [one, many] = [summary(rounds.one), summary(rounds.many)]
    const after = service.service.status()
    return {
      ...setting, before, fillSeconds, residentBytes: process.memoryUsage.rss(), one, many,
      loads: store.gets - getsBefore,
      compilations: after.promptCompilesTotal - before.promptCompilesTotal,
      virtualTokensRun: after.promptTokensPrefilledTotal - before.promptTokensPrefilledTotal,
      throughputRatio: medianRatio(many.perSecond, one.perSecond), p50Ratio: medianRatio(many.p50, one.p50), p95Ratio: medianRatio(many.p95, one.p95)
    }
  } finally {
    await service.stop(0)
  }
}

/** Of a prompt's keys and values and what is kept with them. */
function bytesOfOne ({ manifest: { config } }: Base, digest: Digest): number {
  const prefix = new Float32Array(promptColumns('prefix-tuning', config) * VIRTUAL_TOKENS)
  return bytesOfCompiled({ digest, virtualTokens: VIRTUAL_TOKENS, fixedTokens: 0, prefix, labels: new Float32Array(LABEL_TOKENS.length * config.hiddenSize) })
}

type Choice = Readonly<Record<'one' | 'many', () => Digest>>

async function alternate (service: RunningService, text: readonly number[], choice: Choice): Promise<Record<keyof Choice, Traffic[]>> {
  const rounds: Record<keyof Choice, Traffic[]> = { one: [], many: [] }
  await traffic(service, requests(text, choice.one).slice(0, 2 * SLOTS), SLOTS)
  for (let round = 0; round < ROUNDS; round++) {
    for (const kind of inTurn(['one', 'many'] as const, round)) rounds[kind].push(await traffic(service, requests(text, choice[kind]), SLOTS))
  }
  return rounds
}

function requests (text: readonly number[], prompt: () => Digest): SequenceRequest[] {
  return Array.from({ length: REQUESTS }, (_, index) => {
    const input = Array.from({ length: INPUT_TOKENS }, (_, i) => text[(7 * index + i) % text.length]!)
    return index % 2 === 0 ? classification(input, prompt()) : generate(input, { prompt: prompt(), maxTokens: MAX_TOKENS })
  })
}

function summary (rounds: readonly Traffic[]): Summary {
  return {
    perSecond: rounds.map(({ seconds, latencies }) => latencies.length / seconds),
    p50: rounds.map(({ latencies }) => percentile(latencies, 0.5)),
    p95: rounds.map(({ latencies }) => percentile(latencies, 0.95))
  }
}

function missedBy ({ throughputRatio, p95Ratio }: Measured): string[] {
  return [
    ...throughputRatio < 0.98 ? [`throughput ${throughputRatio.toFixed(3)} of one prompt's, wanted >= 0.98`] : [],
    ...p95Ratio > 1.05 ? [`p95 ${p95Ratio.toFixed(3)} of one prompt's, wanted <= 1.05`] : []
  ]
}

interface Raw { readonly base: string, readonly loadBefore: number, readonly loadAfter: number, readonly settings: readonly Measured[] }

function trafficTable ({ base, settings }: Raw): Table {
  return {
    title: `Traffic over ${PROMPTS} prompts of ${VIRTUAL_TOKENS} virtual tokens against one: ${base}, ${FORMAT}; ${ROUNDS} rounds of ${REQUESTS} requests each, ${SLOTS} at once, ${INPUT_TOKENS} tokens in, half classify and half generate ${MAX_TOKENS}`,
    columns: ['keys and values', 'one: requests/s', 'p50 ms', 'p95 ms', 'all: requests/s', 'p50 ms', 'p95 ms', 'throughput ratio', 'p50 ratio', 'p95 ratio', 'wanted'],
    rows: settings.map(one => [
      one.name, ...mediansOf(one.one), ...mediansOf(one.many), one.throughputRatio.toFixed(3), one.p50Ratio.toFixed(3), one.p95Ratio.toFixed(3),
      one.room === PROMPTS ? '>= 0.98, p95 <= 1.05' : 'stated'
    ])
  }
}

function mediansOf ({ perSecond, p50, p95 }: Summary): string[] {
  return [median(perSecond).toFixed(1), median(p50).toFixed(0), median(p95).toFixed(0)]
}

function memoryTable ({ settings, loadBefore, loadAfter }: Raw): Table {
  return {
    title: `Memory, and what ${ROUNDS * REQUESTS} requests over all prompts had to make; load of the machine ${loadBefore.toFixed(1)} before, ${loadAfter.toFixed(1)} after`,
    columns: ['keys and values', 'prompts', 'MiB', 'embeddings', 'MiB', 'process MiB', 'filled in s', 'loaded', 'compiled', 'virtual tokens run'],
    rows: settings.map(({ name, before, residentBytes, fillSeconds, loads, compilations, virtualTokensRun }) => [
      name, before.promptsCached, mebibytes(before.promptCacheBytes), before.promptEmbeddings, mebibytes(before.promptEmbeddingBytes), mebibytes(residentBytes),
      fillSeconds.toFixed(0), loads, compilations, virtualTokensRun
    ])
  }
}

function mebibytes (bytes: number): string {
  return (bytes / 2 ** 20).toFixed(0)
}
