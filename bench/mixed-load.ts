/**
 * `npm run bench -- mixed-load`: a training job and serving on the same cores, through the real processes: what the job
 * costs the requests, and what the requests leave of the job.
 */
import { loadavg } from 'node:os'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import type { ApiClient } from '../src/cli/api-client.js'
import { loadConfig } from '../src/config.js'
import { defaultBaseSource } from './default-base.js'
import { BenchFailure } from './failure.js'
import { mixedCalls, type InferCall } from './load/requests.js'
import { closedTraffic, openTraffic } from './load/traffic.js'
import { Training } from './load/training.js'
import { wholeNumber } from './options.js'
import { type Table, report } from './report.js'
import { startBenchService } from './service.js'
import { inTurn, median, medianRatio, percentile } from './statistics.js'

const WANTED_P95_RATIO = 1.5
/** About a third of what this machine answers. */
const PER_SECOND = 6
const PHASE_SECONDS = 30
/** Not measured, in front of each phase with requests. */
const WARM_UP_SECONDS = 3
/** More than the slots, so that every step of the engine is full. */
const SATURATING_CLIENTS = 48

/** Milliseconds. */
interface Latency { readonly p50: number, readonly p95: number }
/** One entry a round. */
interface Rounds {
  readonly idle: Latency[]
  readonly beside: Latency[]
  readonly stepsPerSecond: { readonly alone: number[], readonly beside: number[], readonly saturated: number[] }
  readonly answersPerSecond: { readonly saturated: number[], readonly saturatedBeside: number[] }
}

interface Measured extends Rounds {
  readonly base: string
  readonly rounds: number
  readonly perSecond: number
  readonly phaseSeconds: number
  readonly clients: number
  readonly loadBefore: number
  /** Medians over the rounds of beside / idle. */
  readonly ratio: Latency
}

export async function mixedLoad (args: string[]): Promise<void> {
  const { values } = parseArgs({ args, options: { json: { type: 'boolean', default: false }, rounds: { type: 'string', default: '3' }, rate: { type: 'string', default: String(PER_SECOND) } } })
  const [rounds, perSecond] = [wholeNumber('--rounds', values.rounds), wholeNumber('--rate', values.rate)]
  const loadBefore = loadavg()[0]!
  const service = await startBenchService(await defaultBaseSource(loadConfig(process.env)))
  try {
    const { data: [base] } = await service.client.get<{ data: Array<{ name: string }> }>('/v1/bases')
    const measured = await measure(service.client, mixedCalls(base!.name), rounds, perSecond)
    const ratio = { p50: ratioOf(measured, 'p50'), p95: ratioOf(measured, 'p95') }
    const raw: Measured = { base: base!.name, rounds, perSecond, phaseSeconds: PHASE_SECONDS, clients: SATURATING_CLIENTS, loadBefore, ...measured, ratio }
    report('mixed-load', [servingTable(raw), trainingTable(raw)], raw, values.json)
    check(raw)
  } finally {
    await service.stop()
  }
}

async function measure (client: ApiClient, calls: (index: number) => InferCall, rounds: number, perSecond: number): Promise<Rounds> {
  const measured: Rounds = { idle: [], beside: [], stepsPerSecond: { alone: [], beside: [], saturated: [] }, answersPerSecond: { saturated: [], saturatedBeside: [] } }
  const { stepsPerSecond, answersPerSecond } = measured
  const phases: Readonly<Record<string, (seed: number) => Promise<void>>> = {
    'serving, nothing beside it': async seed => { measured.idle.push(await serve(client, calls, perSecond, seed)) },
    'serving beside training': async seed => {
      stepsPerSecond.beside.push(await whileTraining(client, async () => { measured.beside.push(await serve(client, calls, perSecond, seed)) }))
    },
    'saturated, nothing beside it': async () => { answersPerSecond.saturated.push(await saturate(client, calls)) },
    'saturated beside training': async () => {
      stepsPerSecond.saturated.push(await whileTraining(client, async () => { answersPerSecond.saturatedBeside.push(await saturate(client, calls)) }))
    },
    'training, nothing beside it': async () => { stepsPerSecond.alone.push(await whileTraining(client, async () => await sleep(1000 * PHASE_SECONDS))) }
  }
  for (let round = 0; round < rounds; round++) {
    for (const [name, phase] of inTurn(Object.entries(phases), round)) {
      process.stderr.write(`round ${round + 1} of ${rounds}: ${name}\n`)
      await phase(round)
    }
  }
  return measured
}

async function serve (client: ApiClient, calls: (index: number) => InferCall, perSecond: number, seed: number): Promise<Latency> {
  await openTraffic(client, calls, { perSecond, seconds: WARM_UP_SECONDS, seed })
  const latencies = await openTraffic(client, calls, { perSecond, seconds: PHASE_SECONDS, seed })
  return { p50: percentile(latencies, 0.5), p95: percentile(latencies, 0.95) }
}

/** @returns answers in a second */
async function saturate (client: ApiClient, calls: (index: number) => InferCall): Promise<number> {
  return await closedTraffic(client, calls, SATURATING_CLIENTS, AbortSignal.timeout(1000 * PHASE_SECONDS)) / PHASE_SECONDS
}

/** @returns steps in a second while `work` went on */
async function whileTraining (client: ApiClient, work: () => Promise<void>): Promise<number> {
  const training = await Training.start(client)
  try {
    const from = performance.now()
    await work()
    return training.stepsPerSecond(from, performance.now())
  } finally {
    await training.stop()
  }
}

function ratioOf ({ beside, idle }: Rounds, which: keyof Latency): number {
  return medianRatio(beside.map(latency => latency[which]), idle.map(latency => latency[which]))
}

function check ({ ratio, stepsPerSecond }: Measured): void {
  const missed = [
    ...ratio.p95 > WANTED_P95_RATIO ? [`p95 beside training is ${ratio.p95.toFixed(2)} of that without, wanted <= ${WANTED_P95_RATIO}`] : [],
    ...(['beside', 'saturated'] as const).filter(when => median(stepsPerSecond[when]) === 0).map(when => `training made no step (${when})`)
  ]
  if (missed.length > 0) throw new BenchFailure(missed.join('; '))
}

function servingTable ({ base, rounds, perSecond, phaseSeconds, clients, loadBefore, idle, beside, answersPerSecond, ratio }: Measured): Table {
  const row = (name: string, which: keyof Latency, wanted: string): string[] => [
    name, ...[idle, beside].map(phases => median(phases.map(latency => latency[which])).toFixed(0)), ratio[which].toFixed(2), wanted
  ]
  const { saturated, saturatedBeside } = answersPerSecond
  return {
    title: `Serving beside a training job: ${base}; ${rounds} rounds of ${phaseSeconds} s; ${perSecond} requests/s arrive at random, half classify, half generate 16 tokens; saturated by ${clients} clients; load of the machine ${loadBefore.toFixed(1)} before`,
    columns: ['', 'alone', 'beside training', 'ratio', 'wanted'],
    rows: [
      row('p50 ms', 'p50', 'stated'),
      row('p95 ms', 'p95', `<= ${WANTED_P95_RATIO}`),
      ['answers/s, saturated', median(saturated).toFixed(1), median(saturatedBeside).toFixed(1), medianRatio(saturatedBeside, saturated).toFixed(2), 'stated']
    ]
  }
}

function trainingTable ({ perSecond, stepsPerSecond: { alone, beside, saturated } }: Measured): Table {
  const row = (name: string, rounds: readonly number[], wanted: string): string[] => [name, median(rounds).toFixed(2), (100 * medianRatio(rounds, alone)).toFixed(0), wanted]
  return {
    title: 'The training job: SNIPS by the defaults, 16 rows a step',
    columns: ['beside', 'steps/s', '% of alone', 'wanted'],
    rows: [row('nothing', alone, ''), row(`${perSecond} requests/s`, beside, '> 0'), row('saturated serving', saturated, '> 0')]
  }
}
