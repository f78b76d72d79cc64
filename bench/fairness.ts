/**
 * `npm run bench -- fairness`: what tenants with their fair share of the load notice of one that asks for twenty times its
 * share, on the default base through the service.
 */
import { availableParallelism, loadavg } from 'node:os'
import { parseArgs } from 'node:util'
import { loadConfig } from '../src/config.js'
import type { SequenceRequest } from '../src/inference/protocol.js'
import type { Base } from '../src/model/base.js'
import { loadTokenizer } from '../src/model/bpe-tokenizer.js'
import { CALIBRATION_TEXT } from '../src/model/calibration-text.js'
import { classification, generate, promptFiles, type TestService, tinyService } from '../test/inference/tiny-service.js'
import { seededNumbers } from '../test/support/numbers.js'
import { openDefaultBase } from './default-base.js'
import { BenchFailure } from './failure.js'
import { type Arrival, openTraffic, type Outcome } from './fairness/open-traffic.js'
import { traffic } from './many/traffic.js'
import { report, type Table } from './report.js'
import { inTurn, median, medianRatio, percentile } from './statistics.js'

const FORMAT = 'w8a8'
const SLOTS = 16
const TENANTS = 6
/** Of what the service can do, all tenants together. */
const LOAD = 0.7
const NOISY = 'noisy'
const NOISY_TIMES = 20
const SECONDS = 30
/** Requests by which the capacity is measured, and how many of them are under way at once. */
const PROBE = { requests: 320, clients: 32 }
const VIRTUAL_TOKENS = 16
/** Tokens of input and of generated answers, evenly. */
const INPUT = { least: 16, most: 96 }
const ANSWER = { least: 8, most: 48 }
const WANTED = 1.5

type Setting = 'without' | 'with'

/** Of one setting and round; milliseconds. */
interface Measured {
  readonly p50: number, readonly p95: number, readonly firstP95: number
  readonly requests: number, readonly refused: number
  /** Tokens of inputs and answers that ended while requests still arrived, all tenants, and of the noisy one. */
  readonly tokensPerSecond: number, readonly noisyTokensPerSecond: number
}

export async function fairness (args: string[]): Promise<void> {
  const { values } = parseArgs({ args, options: { json: { type: 'boolean', default: false }, rounds: { type: 'string', default: '3' } } })
  const count = Number(values.rounds)
  if (!Number.isInteger(count) || count < 1) throw new BenchFailure(`--rounds takes a whole number from 1, not "${values.rounds}"`)
  const config = loadConfig(process.env)
  const base = await openDefaultBase(config)
  const threads = config.INFERENCE_THREADS || availableParallelism()
  const loadBefore = loadavg()[0]!
  const service = await tinyService(base, { format: FORMAT, slots: SLOTS, maxContext: 256, maxWaiting: 256, threads })
  try {
    const newRequest = await requestMaker(base, service)
    const { perSecond: capacity, tokensPerSecond } = await measureCapacity(service, newRequest(seededNumbers(1)))
    const share = LOAD * capacity / TENANTS
    const rounds: Record<Setting, Measured[]> = { without: [], with: [] }
    for (let round = 0; round < count; round++) {
      for (const setting of inTurn(['without', 'with'] as const, round)) {
        const outcome = await openTraffic(service, arrivals(round, share, setting, newRequest), SECONDS * 1000)
        rounds[setting].push(measuredOf(outcome))
        process.stderr.write(`round ${round + 1}, ${setting}: p95 of the others ${rounds[setting].at(-1)!.p95.toFixed(0)} ms\n`)
      }
    }
    const ratio = (of: (measured: Measured) => number): number => medianRatio(rounds.with.map(of), rounds.without.map(of))
    const raw = {
      base: base.manifest.name, format: FORMAT, threads, slots: SLOTS, tenants: TENANTS, load: LOAD, noisyTimes: NOISY_TIMES, seconds: SECONDS, capacity, capacityTokensPerSecond: tokensPerSecond, share,
      loadBefore, loadAfter: loadavg()[0]!, rounds, p50Ratio: ratio(({ p50 }) => p50), p95Ratio: ratio(({ p95 }) => p95), firstP95Ratio: ratio(({ firstP95 }) => firstP95)
    }
    report('fairness', [tableOf(raw)], raw, values.json)
    if (raw.p95Ratio > WANTED) throw new BenchFailure(`p95 of the others is ${raw.p95Ratio.toFixed(2)} of what it is without the noisy tenant, wanted <= ${WANTED}`)
  } finally {
    await service.stop(0)
  }
}

type NewRequest = (numbers: () => number) => (tenant: string) => SequenceRequest

/** Classification and generation by turns of chance, each with its own prompt. */
async function requestMaker (base: Base, { artifacts }: TestService): Promise<NewRequest> {
  const text = (await loadTokenizer(base.folder)).encode(CALIBRATION_TEXT)
  const value = seededNumbers(2)
  const small = (): number => 0.1 * value()
  const prompts = {
    classifies: artifacts.put(promptFiles(base, { method: 'prompt-tuning', virtualTokens: VIRTUAL_TOKENS, labelTokens: [5, 9], value: small })),
    generates: artifacts.put(promptFiles(base, { method: 'prompt-tuning', virtualTokens: VIRTUAL_TOKENS, value: small }))
  }
  return numbers => {
    const between = ({ least, most }: { readonly least: number, readonly most: number }): number => least + Math.floor((numbers() + 1) / 2 * (most - least + 1))
    return tenant => {
      const start = between({ least: 0, most: text.length - 1 })
      const input = Array.from({ length: between(INPUT) }, (_, i) => text[(start + i) % text.length]!)
      const request = numbers() < 0 ? classification(input, prompts.classifies) : generate(input, { prompt: prompts.generates, maxTokens: between(ANSWER) })
      return { ...request, tenant }
    }
  }
}

async function measureCapacity (service: TestService, newRequest: (tenant: string) => SequenceRequest): Promise<{ readonly perSecond: number, readonly tokensPerSecond: number }> {
  const make = (count: number): SequenceRequest[] => Array.from({ length: count }, () => newRequest('all'))
  await traffic(service, make(PROBE.clients), PROBE.clients)
  const requests = make(PROBE.requests)
  const { seconds } = await traffic(service, requests, PROBE.clients)
  return { perSecond: requests.length / seconds, tokensPerSecond: requests.reduce((sum, request) => sum + tokensOf(request), 0) / seconds }
}

function tokensOf ({ inputIds, work }: SequenceRequest): number {
  return inputIds.length + (work.kind === 'classify' ? 0 : work.maxTokens)
}

/** Each tenant's own Poisson process; that of the others is the same in both settings. */
function arrivals (round: number, share: number, setting: Setting, newRequest: NewRequest): Arrival[] {
  const names = Array.from({ length: TENANTS }, (_, index) => index === 0 ? NOISY : `quiet ${index}`)
  return names.slice(setting === 'with' ? 0 : 1).flatMap(tenant => {
    const numbers = seededNumbers(100 * round + names.indexOf(tenant))
    const make = newRequest(numbers)
    const rate = (tenant === NOISY ? NOISY_TIMES : 1) * share / 1000
    const all: Arrival[] = []
    for (let at = gap(numbers, rate); at < SECONDS * 1000; at += gap(numbers, rate)) all.push({ at, request: make(tenant), isFlood: tenant === NOISY })
    return all
  }).sort((a, b) => a.at - b.at)
}

function gap (numbers: () => number, rate: number): number {
  return -Math.log(1 - (numbers() + 1) / 2) / rate
}

function measuredOf (outcomes: readonly Outcome[]): Measured {
  const others = outcomes.filter(({ isFlood }) => !isFlood)
  const done = others.filter(({ ended }) => ended !== null)
  const latencies = done.map(({ at, ended }) => ended! - at)
  const served = outcomes.filter(({ ended }) => ended !== null && ended < SECONDS * 1000)
  return {
    p50: percentile(latencies, 0.5), p95: percentile(latencies, 0.95), firstP95: percentile(done.map(({ at, first }) => first! - at), 0.95),
    requests: others.length, refused: others.length - done.length,
    tokensPerSecond: tokensPerSecond(served), noisyTokensPerSecond: tokensPerSecond(served.filter(({ isFlood }) => isFlood))
  }
}

function tokensPerSecond (outcomes: readonly Outcome[]): number {
  return outcomes.reduce((sum, { request }) => sum + tokensOf(request), 0) / SECONDS
}

interface Raw {
  readonly base: string, readonly capacity: number, readonly capacityTokensPerSecond: number, readonly share: number
  readonly loadBefore: number, readonly loadAfter: number
  readonly rounds: Readonly<Record<Setting, readonly Measured[]>>
  readonly p50Ratio: number, readonly p95Ratio: number, readonly firstP95Ratio: number
}

function tableOf ({ base, capacity, capacityTokensPerSecond, share, loadBefore, loadAfter, rounds, p50Ratio, p95Ratio, firstP95Ratio }: Raw): Table {
  return {
    title: `One tenant with ${NOISY_TIMES} times its share beside ${TENANTS - 1} with theirs: ${base}, ${FORMAT}, ${SLOTS} slots. A share is a ${TENANTS}th of ${LOAD * 100} % of what the service does with ${PROBE.clients} requests always under way (${capacity.toFixed(1)} requests/s, ${capacityTokensPerSecond.toFixed(0)} tokens/s): ${share.toFixed(2)} requests/s, Poisson, half classify, half generate ${ANSWER.least} to ${ANSWER.most} tokens, ${INPUT.least} to ${INPUT.most} in. Medians of ${rounds.with.length} rounds of ${SECONDS} s; load of the machine ${loadBefore.toFixed(1)} before, ${loadAfter.toFixed(1)} after`,
    columns: ['the others', 'requests', 'refused', 'p50 ms', 'p95 ms', 'first result p95 ms', 'tokens/s of all', 'of the noisy one', 'wanted'],
    rows: [
      ['without it', ...mediansOf(rounds.without), ''],
      ['with it', ...mediansOf(rounds.with), ''],
      ['ratio', '', '', p50Ratio.toFixed(2), p95Ratio.toFixed(2), firstP95Ratio.toFixed(2), '', '', `p95 <= ${WANTED}`]
    ]
  }
}

function mediansOf (measured: readonly Measured[]): string[] {
  return (['requests', 'refused', 'p50', 'p95', 'firstP95', 'tokensPerSecond', 'noisyTokensPerSecond'] as const).map(name => median(measured.map(one => one[name])).toFixed(0))
}
