/**
 * `npm run bench -- soak`: the whole service at saturation for as long as is wanted, while versions are published, aliases
 * move and clients hang up. Every answer is compared with what its version answered before it became production, and its
 * version with those that were production between question and answer. Memory of each process is sampled throughout.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { loadConfig } from '../src/config.js'
import { homePaths } from '../src/supervisor/home.js'
import { privateRedisUrl } from '../src/supervisor/redis.js'
import { defaultBaseSource, openDefaultBase } from './default-base.js'
import { BenchFailure } from './failure.js'
import { wholeNumber } from './options.js'
import { pidsOf, residentOf, type ServicePids } from './process-memory.js'
import { type Table, report } from './report.js'
import { type BenchService, startBenchService } from './service.js'
import { newTally, runClients, type Tally } from './soak/clients.js'
import { drift, sparkline } from './soak/resident.js'
import { ChangingTasks } from './soak/tasks.js'
import { median } from './statistics.js'
import { StoredTasks } from './stored-tasks.js'

const MINUTES = 24
/** Three times the slots. */
const CLIENTS = 48
/** Between two moves of an alias; of these each fifth is a rollback. */
const MOVE_EVERY_MS = 5_000
const ROLLBACK_EACH = 5
const SAMPLE_EVERY_MS = 5_000
const SAY_EVERY_MS = 60_000
const WANTED_DRIFT = 0.02
/** Small, so that both caches are full before warm-up is over, and evict from then on. */
const CACHES = { PROMPT_CACHE_BYTES: String(16 * 2 ** 20), PROMPT_EMBEDDING_BYTES: String(2 ** 20) }
const SPARKLINE_WIDTH = 48
const MiB = 2 ** 20

type ProcessName = keyof ServicePids
/** What serves; of the others the drift is stated. */
const SERVING: readonly ProcessName[] = ['api', 'inference', 'redis']
const PROCESSES: readonly ProcessName[] = [...SERVING, 'worker', 'supervisor']

interface Samples { readonly seconds: number[], readonly resident: Readonly<Record<ProcessName, number[]>> }

export async function soak (args: string[]): Promise<void> {
  const { values } = parseArgs({ args, options: { json: { type: 'boolean', default: false }, minutes: { type: 'string', default: String(MINUTES) } } })
  const minutes = wholeNumber('--minutes', values.minutes)
  const config = loadConfig(process.env)
  const base = await openDefaultBase(config)
  const stop = new AbortController()
  let interrupted = false
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.once(signal, () => {
      interrupted = true
      stop.abort()
    })
  }
  const service = await startBenchService(await defaultBaseSource(config), CACHES)
  const stored = await StoredTasks.open(base, service.home, privateRedisUrl(homePaths(service.home)))
  try {
    const changing = new ChangingTasks(service, stored)
    for (const index of [1, 2]) for (const kind of ['classification', 'generation'] as const) await changing.add(`${kind}-${index}`, kind)
    const movable = [...changing.tasks]
    await changing.addExisting('intent-router', 'classification')
    await changing.addExisting('table-to-text', 'generation')

    const tally = newTally()
    const samples: Samples = { seconds: [], resident: { api: [], inference: [], redis: [], worker: [], supervisor: [] } }
    const pids = pidsOf(homePaths(service.home))
    const begun = performance.now()
    const end = setTimeout(() => stop.abort(), 60_000 * minutes)
    try {
      await Promise.all([
        // They end early when nothing but errors comes, and with them the rest.
        runClients(service, changing, CLIENTS, tally, stop.signal).finally(() => stop.abort()),
        every(MOVE_EVERY_MS, stop.signal, async turn => {
          const task = movable[turn % movable.length]!
          await ((turn + 1) % ROLLBACK_EACH === 0 ? changing.rollBack(task) : changing.publish(task))
        }),
        every(SAMPLE_EVERY_MS, stop.signal, async () => sample(pids, samples, begun)),
        every(SAY_EVERY_MS, stop.signal, async turn => say(turn, minutes, tally, samples))
      ])
    } finally {
      clearTimeout(end)
      stop.abort()
    }
    if (interrupted) throw new BenchFailure([`interrupted after ${((performance.now() - begun) / 60_000).toFixed(1)} of ${minutes} minutes; nothing is written`, ...tally.faults].join('\n  '))
    const seconds = (performance.now() - begun) / 1000
    const restarted = JSON.stringify(pidsOf(homePaths(service.home))) !== JSON.stringify(pids)
    const refused = await refusedByApi(service)
    const raw: Raw = { base: base.manifest.name, minutes, seconds, clients: CLIENTS, tally, refused, restarted, publications: changing.publications, rollbacks: changing.rollbacks, samples }
    report('soak', [answersTable(raw), memoryTable(raw)], raw, values.json)
    check(raw)
  } finally {
    await stored.close()
    await service.stop()
  }
}

/** Begins at once; the next turn begins `ms` after the end of the last. @throws what a turn throws, unless it is stopped */
async function every (ms: number, stop: AbortSignal, turn: (index: number) => Promise<void>): Promise<void> {
  for (let index = 0; !stop.aborted; index++) {
    try {
      await turn(index)
      await sleep(ms, undefined, { signal: stop })
    } catch (error) {
      if (!stop.aborted) throw error
    }
  }
}

function sample (pids: ServicePids, { seconds, resident }: Samples, begun: number): void {
  seconds.push(Math.round((performance.now() - begun) / 1000))
  for (const name of PROCESSES) resident[name].push(residentOf(pids[name]))
}

function say (turn: number, minutes: number, { answers, streams, hangUps, errors, stale, wrong }: Tally, { resident }: Samples): void {
  const memory = SERVING.map(name => `${name} ${mebibytes(resident[name].at(-1) ?? 0)}`).join(', ')
  process.stderr.write(`minute ${turn} of ${minutes}: ${answers} answers (${streams} streams), ${hangUps} hang-ups, ${errors} errors, ${stale} stale, ${wrong} wrong; MiB: ${memory}\n`)
}

/** Answers of the api with a status of 500 or more, by its own count: the client of streams tries again after a 503. */
async function refusedByApi ({ url }: BenchService): Promise<number> {
  const metrics = await (await fetch(`${url}/metrics`)).text()
  return [...metrics.matchAll(/^permafrost_http_request_duration_seconds_count\{.*status="5\d\d".*\} (\d+)$/gm)].reduce((sum, [, count]) => sum + Number(count), 0)
}

interface Raw {
  readonly base: string
  readonly minutes: number
  readonly seconds: number
  readonly clients: number
  readonly tally: Tally
  /** By the api with a status of 500 or more. */
  readonly refused: number
  /** Whether a process has died. */
  readonly restarted: boolean
  readonly publications: number
  readonly rollbacks: number
  readonly samples: Samples
}

function check ({ tally: { errors, stale, wrong, faults }, refused, restarted, samples: { resident } }: Raw): void {
  const missed = [
    ...errors + refused > 0 ? [`${errors} errors, ${refused} answers of 5xx`] : [],
    ...stale + wrong > 0 ? [`${stale} stale and ${wrong} wrong answers`] : [],
    ...restarted ? ['a process of the service has died'] : [],
    ...SERVING.filter(name => drift(resident[name]) > WANTED_DRIFT).map(name => `memory of ${name} grew by ${percent(drift(resident[name]))} %, wanted <= ${percent(WANTED_DRIFT)} %`)
  ]
  if (missed.length > 0) throw new BenchFailure([missed.join('; '), ...faults].join('\n  '))
}

function answersTable ({ base, seconds, clients, tally, refused, publications, rollbacks }: Raw): Table {
  return {
    title: `Soak: ${base}, ${(seconds / 60).toFixed(1)} minutes, ${clients} clients`,
    columns: ['', 'count', 'wanted'],
    rows: [
      ['answers, each checked', tally.answers, ''],
      ['of them streams', tally.streams, ''],
      ['hang-ups', tally.hangUps, ''],
      ['versions published', publications, ''],
      ['rollbacks', rollbacks, ''],
      ['errors', tally.errors, 0],
      ['answers of 5xx, by the api', refused, 0],
      ['stale answers', tally.stale, 0],
      ['wrong answers', tally.wrong, 0]
    ]
  }
}

function memoryTable ({ samples: { resident } }: Raw): Table {
  return {
    title: 'Resident MiB; drift from the second to the last fifth of the time, by medians',
    columns: ['process', 'median', 'least', 'most', 'drift %', 'wanted', 'over time, from least to most'],
    rows: PROCESSES.map(name => [
      name, mebibytes(median(resident[name])), mebibytes(Math.min(...resident[name])), mebibytes(Math.max(...resident[name])), percent(drift(resident[name])),
      SERVING.includes(name) ? `<= ${percent(WANTED_DRIFT)}` : 'stated', sparkline(resident[name], SPARKLINE_WIDTH)
    ])
  }
}

function mebibytes (bytes: number): string {
  return (bytes / MiB).toFixed(0)
}

function percent (share: number): string {
  return (100 * share).toFixed(1)
}
