/**
 * `npm run bench -- api-latency`: the api's event-loop delay while a job trains and requests stream, through the real
 * processes. What is reported is the histogram of `perf_hooks.monitorEventLoopDelay` in the api process over the whole
 * phase: each number holds its sampling interval of 10 ms too, so an idle process shows about 10 ms. An outsider's view
 * stands beside it: round trips of `/healthz`, which do nothing but wait for the loop.
 */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import type { ApiClient, ServerEvent } from '../src/cli/api-client.js'
import { loadConfig } from '../src/config.js'
import { PROJECT_ROOT } from '../src/project.js'
import { FINAL_STATES, type JobEvent } from '../src/training/job.js'
import { defaultBaseSource } from './default-base.js'
import { BenchFailure } from './failure.js'
import { type Table, report } from './report.js'
import { startBenchService } from './service.js'

const WANTED_P99_MS = 20
const PROBE_EVERY_MS = 50
const MAX_TOKENS = 200

export async function apiLatency (args: string[]): Promise<void> {
  const { values } = parseArgs({ args, options: { json: { type: 'boolean', default: false }, streams: { type: 'string', default: '16' }, seconds: { type: 'string', default: '180' } } })
  const [streams, seconds] = [wholeNumber('--streams', values.streams), wholeNumber('--seconds', values.seconds)]
  const service = await startBenchService(await defaultBaseSource(loadConfig(process.env)), { KV_SLOTS: String(Math.max(streams, 1)) })
  try {
    const { client, url } = service
    const { data: [base] } = await client.get<{ data: Array<{ name: string }> }>('/v1/bases')
    const rows = readFileSync(join(PROJECT_ROOT, 'examples', 'snips', 'train.jsonl'))
    const labels = labelsOf(rows)

    const stop = new AbortController()
    const decoding = Promise.all(Array.from({ length: streams }, (_, i) => stream(client, base!.name, i, stop.signal)))
    // A failure is heard at the end, when the phase is over.
    decoding.catch(() => {})
    await sleep(1000)
    // Begins the phase: each scrape starts the histogram of delays anew.
    const before = await scrape(url)
    const begun = performance.now()
    const probes = probe(url, stop.signal)
    const job = await train(client, rows, labels, begun + seconds * 1000)
    const elapsed = (performance.now() - begun) / 1000
    const after = await scrape(url)
    stop.abort()
    const [roundTrips] = await Promise.all([probes, decoding])

    const milliseconds = (name: string): number => 1000 * value(after, `nodejs_eventloop_lag_${name}_seconds`)
    const delay = { p50: milliseconds('p50'), p99: milliseconds('p99'), max: milliseconds('max') }
    const tokens = value(after, 'permafrost_inference_tokens_total') - value(before, 'permafrost_inference_tokens_total')
    const raw = { base: base!.name, streams, seconds: elapsed, delayMs: delay, healthzMs: { p50: quantile(roundTrips, 0.5), p99: quantile(roundTrips, 0.99), max: quantile(roundTrips, 1) }, tokensPerSecond: tokens / elapsed, training: job }
    report('api-latency', [tableOf(raw)], raw, values.json)
    if (job.step === 0) throw new BenchFailure('no step of training was done in this time, so the numbers say nothing; give more --seconds')
    if (delay.p99 > WANTED_P99_MS) throw new BenchFailure(`the api's event-loop delay p99 is ${delay.p99.toFixed(1)} ms, wanted <= ${WANTED_P99_MS} ms`)
  } finally {
    await service.stop()
  }
}

function wholeNumber (option: string, text: string): number {
  const number = Number(text)
  if (!Number.isInteger(number) || number < 1) throw new BenchFailure(`${option} takes a whole number from 1, not "${text}"`)
  return number
}

function labelsOf (file: Buffer): string[] {
  const rows = file.toString().split('\n').filter(line => line !== '').map(line => JSON.parse(line) as { label: string })
  return [...new Set(rows.map(row => row.label))].sort()
}

/** One client after another, each with an answer of up to 200 sampled tokens. */
async function stream (client: ApiClient, base: string, index: number, signal: AbortSignal): Promise<void> {
  for (let round = 0; !signal.aborted; round++) {
    const body = { input: `Once upon a time, in town number ${index}.${round},`, max_tokens: MAX_TOKENS, temperature: 1, seed: 1000 * index + round, stream: true }
    for await (const { event, data } of client.postForEvents(`/v1/tasks/${base}/infer`, body)) {
      if (event === 'error') throw new Error(`stream ${index}: ${JSON.stringify(data)}`)
      if (signal.aborted) break
    }
  }
}

function isLast ({ data }: ServerEvent): boolean {
  const event = data as JobEvent
  return event.type === 'state' && FINAL_STATES.includes(event.state)
}

/** Upload, train, follow to the end or until `deadline` (on the clock of `performance.now`), then cancel. */
async function train (client: ApiClient, rows: Buffer, labels: readonly string[], deadline: number): Promise<{ step: number, steps: number, state: string }> {
  const file = await client.upload<{ id: string }>('/v1/files?name=snips.jsonl', rows, 'application/jsonl')
  await client.post('/v1/tasks', { name: 'snips', kind: 'classification', labels })
  const { id } = await client.post<{ id: string }>('/v1/training-jobs', { task: 'snips', training_file: file.id })
  let step = 0, steps = 0, state = 'queued'
  let cancelled = false
  for await (const { data } of client.follow(`/v1/training-jobs/${id}/events`, isLast)) {
    const event = data as JobEvent
    if (event.type === 'state') ({ state } = event)
    if (event.type === 'step') ({ step, steps } = event)
    if (event.type === 'error') throw new Error(`training failed: ${event.code}: ${event.message}`)
    if (!cancelled && performance.now() > deadline) {
      cancelled = true
      await client.post(`/v1/training-jobs/${id}/cancel`)
    }
  }
  return { step, steps, state }
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

async function scrape (url: string): Promise<string> {
  return await (await fetch(`${url}/metrics`)).text()
}

function value (metrics: string, name: string): number {
  const line = metrics.split('\n').find(candidate => candidate.startsWith(`${name} `) || candidate.startsWith(`${name}{`))
  if (line === undefined) throw new Error(`the api has no metric ${name}`)
  return Number(line.slice(line.lastIndexOf(' ') + 1))
}

function quantile (values: readonly number[], fraction: number): number {
  const sorted = [...values].sort((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.floor(fraction * sorted.length))] ?? NaN
}

interface Raw { readonly base: string, readonly streams: number, readonly seconds: number, readonly delayMs: Quantiles, readonly healthzMs: Quantiles, readonly tokensPerSecond: number, readonly training: { readonly step: number, readonly steps: number, readonly state: string } }
interface Quantiles { readonly p50: number, readonly p99: number, readonly max: number }

function tableRow (name: string, { p50, p99, max }: Quantiles, wanted: string): string[] {
  return [name, ...[p50, p99, max].map(ms => ms.toFixed(1)), wanted]
}

function tableOf ({ base, streams, seconds, delayMs, healthzMs, tokensPerSecond, training }: Raw): Table {
  return {
    title: `The api under load: ${base}, ${streams} streams at ${tokensPerSecond.toFixed(1)} tokens/s together, ${training.step} of ${training.steps} training steps, ${seconds.toFixed(0)} s`,
    columns: ['milliseconds', 'p50', 'p99', 'max', 'wanted'],
    rows: [tableRow('event-loop delay, sampled each 10 ms', delayMs, `p99 <= ${WANTED_P99_MS}`), tableRow('GET /healthz, round trip', healthzMs, '')]
  }
}
