/**
 * `npm run bench -- event-loop`: how late the event loops of the api and of the inference process are when more is asked
 * than there are slots, with and without a training job on the same cores, through the real processes. The numbers are
 * those of `perf_hooks.monitorEventLoopDelay` in the process itself over the whole phase, as its `/metrics` show them,
 * less the interval of 10 ms at which it looks: an idle loop has about 0. An outsider's view stands beside it: round trips
 * of `/healthz`, which do nothing but wait for the api's loop.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import type { ApiClient } from '../src/cli/api-client.js'
import { loadConfig } from '../src/config.js'
import { defaultBaseSource } from './default-base.js'
import { BenchFailure } from './failure.js'
import { type Metrics, metricsOf } from './load/health.js'
import { mixedCalls } from './load/requests.js'
import { closedTraffic } from './load/traffic.js'
import { Training } from './load/training.js'
import { wholeNumber } from './options.js'
import { type Table, report } from './report.js'
import { type BenchService, startBenchService } from './service.js'
import { type Times, timesOf } from './swap/times.js'

/** Milliseconds. */
const WANTED_P99 = { api: 10, inference: 20 } as const
/** Of prom-client's `monitorEventLoopDelay`, milliseconds. */
const SAMPLED_EACH = 10
const SLOTS = 16
/** Beside the streams; each waits for its short answer and asks again. */
const CLIENTS = 32
const PROBE_EVERY_MS = 50
const STREAM_TOKENS = 200

type Served = keyof typeof WANTED_P99
const PROCESSES: readonly Served[] = ['api', 'inference']

interface Phase {
  readonly beside: 'nothing' | 'training'
  /** Milliseconds. */
  readonly delay: Readonly<Record<Served, Times>>
  readonly healthz: Times
  readonly tokensPerSecond: number
  readonly answersPerSecond: number
  readonly stepsPerSecond: number
}

export async function eventLoop (args: string[]): Promise<void> {
  const { values } = parseArgs({ args, options: { json: { type: 'boolean', default: false }, streams: { type: 'string', default: String(SLOTS) }, seconds: { type: 'string', default: '60' } } })
  const [streams, seconds] = [wholeNumber('--streams', values.streams), wholeNumber('--seconds', values.seconds)]
  const service = await startBenchService(await defaultBaseSource(loadConfig(process.env)), { KV_SLOTS: String(SLOTS), HEALTH_PORT: '0' })
  try {
    const { data: [base] } = await service.client.get<{ data: Array<{ name: string }> }>('/v1/bases')
    const load: Load = { base: base!.name, streams, seconds }
    const phases = [await saturated(service, load), await besideTraining(service, load)]
    const raw = { base: base!.name, slots: SLOTS, streams, clients: CLIENTS, seconds, sampledEachMs: SAMPLED_EACH, phases }
    report('event-loop', [delayTable(raw), loadTable(raw)], raw, values.json)
    check(phases)
  } finally {
    await service.stop()
  }
}

interface Load { readonly base: string, readonly streams: number, readonly seconds: number }

async function besideTraining (service: BenchService, load: Load): Promise<Phase> {
  const training = await Training.start(service.client)
  try {
    const from = performance.now()
    const phase = await saturated(service, load)
    return { ...phase, beside: 'training', stepsPerSecond: training.stepsPerSecond(from, performance.now()) }
  } finally {
    await training.stop()
  }
}

async function saturated ({ client, home, url }: BenchService, { base, streams, seconds }: Load): Promise<Phase> {
  const stop = new AbortController()
  const work = Promise.all([
    closedTraffic(client, mixedCalls(base), CLIENTS, stop.signal),
    ...Array.from({ length: streams }, async (_, index) => await stream(client, base, index, stop.signal))
  ])
  // A failure is heard at the end, when the phase is over.
  work.catch(() => {})
  // Until every slot is in use.
  await sleep(2000)
  // Begins the phase: each scrape starts the histogram of delays anew.
  const before = await scrape(home)
  const begun = performance.now()
  const probes = probe(url, stop.signal)
  await sleep(1000 * seconds)
  const after = await scrape(home)
  const elapsed = (performance.now() - begun) / 1000
  stop.abort()
  const [answered] = await work
  const grown = (name: string): number => after.inference(name) - before.inference(name)
  return {
    beside: 'nothing',
    delay: { api: delayOf(after.api), inference: delayOf(after.inference) },
    healthz: timesOf(await probes),
    tokensPerSecond: grown('permafrost_inference_tokens_total') / elapsed,
    answersPerSecond: answered / elapsed,
    stepsPerSecond: 0
  }
}

async function scrape (home: string): Promise<Record<Served, Metrics>> {
  const [api, inference] = await Promise.all([metricsOf(home, 'api'), metricsOf(home, 'inference')])
  return { api, inference }
}

function delayOf (metrics: Metrics): Times {
  const of = (name: string): number => 1000 * metrics(`nodejs_eventloop_lag_${name}_seconds`) - SAMPLED_EACH
  return { p50: of('p50'), p99: of('p99'), max: of('max') }
}

/** One client: an answer of up to 200 tokens, drawn from a part of the vocabulary that has to be sorted out, and the next. */
async function stream (client: ApiClient, base: string, index: number, signal: AbortSignal): Promise<void> {
  for (let round = 0; !signal.aborted; round++) {
    const body = { input: `Once upon a time, in town number ${index}.${round},`, max_tokens: STREAM_TOKENS, temperature: 1, top_p: 0.95, seed: 1000 * index + round, stream: true }
    for await (const { event, data } of client.postForEvents(`/v1/tasks/${base}/infer`, body)) {
      if (event === 'error') throw new BenchFailure(`stream ${index}: ${JSON.stringify(data)}`)
      if (signal.aborted) break
    }
  }
}

/** Round trips in milliseconds. */
async function probe (url: string, signal: AbortSignal): Promise<number[]> {
  const times: number[] = []
  while (!signal.aborted) {
    const begun = performance.now()
    await (await fetch(`${url}/healthz`)).text()
    times.push(performance.now() - begun)
    await sleep(PROBE_EVERY_MS)
  }
  return times
}

function check (phases: readonly Phase[]): void {
  const missed = phases.flatMap(({ beside, delay }) => PROCESSES.filter(process => delay[process].p99 > WANTED_P99[process])
    .map(process => `${process}, beside ${beside}: p99 ${delay[process].p99.toFixed(1)} ms, wanted <= ${WANTED_P99[process]}`))
  if (missed.length > 0) throw new BenchFailure(`event loops that are later than wanted: ${missed.join('; ')}`)
}

interface Raw { readonly base: string, readonly slots: number, readonly streams: number, readonly clients: number, readonly seconds: number, readonly phases: readonly Phase[] }

function delayTable ({ base, slots, streams, clients, seconds, phases }: Raw): Table {
  return {
    title: `Event-loop delay at saturation: ${base}, ${slots} slots, ${streams} streams of ${STREAM_TOKENS} sampled tokens and ${clients} clients with short requests, ${seconds} s; sampled each ${SAMPLED_EACH} ms, which are taken off; milliseconds`,
    columns: ['process', 'beside it', 'p50', 'p99', 'max', 'wanted'],
    rows: phases.flatMap(({ beside, delay, healthz }) => [
      ...PROCESSES.map(process => [process, beside, ...cells(delay[process]), `p99 <= ${WANTED_P99[process]}`]),
      ['api: GET /healthz, round trip', beside, ...cells(healthz), '']
    ])
  }
}

function cells ({ p50, p99, max }: Times): string[] {
  return [p50, p99, max].map(ms => ms.toFixed(1))
}

function loadTable ({ phases }: Raw): Table {
  return {
    title: 'What was done meanwhile, in a second',
    columns: ['beside it', 'tokens', 'short answers', 'training steps'],
    rows: phases.map(({ beside, tokensPerSecond, answersPerSecond, stepsPerSecond }) => [beside, tokensPerSecond.toFixed(0), answersPerSecond.toFixed(1), stepsPerSecond.toFixed(2)])
  }
}
