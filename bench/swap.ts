/**
 * `npm run bench -- swap`: what it costs to answer by another prompt on the default base: by a compiled one (a copy into a
 * slot), by one that was evicted, by one that lies in the store alone; what its template's first tokens cost; and what an
 * answer beside it notices.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { availableParallelism, tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { loadConfig } from '../src/config.js'
import { METHODS } from '../src/prompt/methods.js'
import { openStores } from '../src/registry/store/open-stores.js'
import { openDefaultBase } from './default-base.js'
import { BenchFailure } from './failure.js'
import { type Cell, report, type Table } from './report.js'
import { type Cold, measureCold } from './swap/cold.js'
import { type Fixed, INPUT_TOKENS, measureFixed } from './swap/fixed.js'
import { type Gaps, measureNeighbour } from './swap/neighbour.js'
import { type Setting, VIRTUAL_TOKENS } from './swap/setting.js'
import type { Times } from './swap/times.js'
import { measureWarm, type Warm } from './swap/warm.js'

/** Milliseconds. */
const WANTED = { swap: 0.2, load: 10, first: 50 }

interface Raw { readonly base: string, readonly threads: number, readonly warm: Warm, readonly cold: readonly Cold[], readonly fixed: readonly Fixed[], readonly neighbour: readonly Gaps[] }

export async function swap (args: string[]): Promise<void> {
  const { values: { json } } = parseArgs({ args, options: { json: { type: 'boolean', default: false } } })
  const config = loadConfig(process.env)
  const base = await openDefaultBase(config)
  const folder = await mkdtemp(join(tmpdir(), 'permafrost-swap-'))
  try {
    const { artifacts } = await openStores({ PERMAFROST_HOME: folder })
    const raw = await measure({ base, folder, artifacts, threads: config.INFERENCE_THREADS || availableParallelism() })
    report('swap', [warmTable(raw), coldTable(raw), fixedTable(raw), neighbourTable(raw)], raw, json)
    check(raw)
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

async function measure (setting: Setting): Promise<Raw> {
  const warm = await measureWarm(setting)
  const cold = []
  for (const method of METHODS) cold.push(await measureCold(setting, method))
  return { base: setting.base.manifest.name, threads: setting.threads, warm, cold, fixed: await measureFixed(setting), neighbour: await measureNeighbour(setting) }
}

function check ({ warm, cold }: Raw): void {
  const missed = [
    ...warm.swap.p50 > WANTED.swap ? ['warm swap'] : [],
    ...cold.flatMap(({ method, load, first }) => [...load.p99 > WANTED.load ? [`${method} load`] : [], ...first.p99 > WANTED.first ? [`${method} first request`] : []])
  ]
  if (missed.length > 0) throw new BenchFailure(`slower than wanted: ${missed.join(', ')}`)
}

function warmTable ({ base, warm: { prefixBytes, swap, floor } }: Raw): Table {
  return {
    title: `Warm swap: a compiled prefix of ${VIRTUAL_TOKENS} tokens (${prefixBytes} bytes) into a slot, ${base}; microseconds`,
    columns: ['what', 'p50', 'p99', 'max', 'wanted p50'],
    rows: [
      ['copy into a slot', ...cells(swap, 1000), WANTED.swap * 1000],
      ['floor: one copy of these bytes', ...cells(floor, 1000), '']
    ]
  }
}

function coldTable ({ cold }: Raw): Table {
  return {
    title: `Prompts of ${VIRTUAL_TOKENS} tokens that are not compiled; milliseconds`,
    columns: ['method', 'what', 'p50', 'p99', 'max', 'wanted p99'],
    rows: cold.flatMap(({ method, fromDisk, load, loadBusy, first, evicted, warm }): Cell[][] => [
      [method, `load from ${fromDisk ? 'disk' : 'the page cache'}, without compiling`, ...cells(load), WANTED.load],
      [method, 'of it the event loop is busy (mean)', loadBusy.toFixed(2), '', '', ''],
      [method, 'first request to its answer', ...cells(first), WANTED.first],
      [method, method === 'prompt-tuning' ? 'after eviction, from embeddings' : 'after eviction, from the store', ...cells(evicted), ''],
      [method, 'compiled', ...cells(warm), '']
    ])
  }
}

function fixedTable ({ fixed }: Raw): Table {
  return {
    title: `Classification of ${INPUT_TOKENS} tokens behind the first ones of a template and a prompt of ${VIRTUAL_TOKENS}; milliseconds`,
    columns: ['tokens of the template', 'they are', 'p50', 'p99', 'max'],
    rows: fixed.map(({ tokens, way, request }) => [tokens, way, ...cells(request)])
  }
}

function neighbourTable ({ neighbour }: Raw): Table {
  return {
    title: 'From token to token of one answer, with ten requests a second beside it; milliseconds',
    columns: ['beside it', 'p50', 'p99', 'max'],
    rows: neighbour.map(({ beside, gap }) => [beside, ...cells(gap)])
  }
}

function cells ({ p50, p99, max }: Times, scale = 1): Cell[] {
  return [p50, p99, max].map(milliseconds => (milliseconds * scale).toFixed(scale === 1 ? 2 : 0))
}
