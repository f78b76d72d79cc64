/**
 * `npm run bench -- memory`: the memory that each process of the service takes on the default base, idle and at work:
 * full slots, cached prompts, many tasks, a large upload, training. docs/operations.md sizes by these numbers.
 */
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { inOrder } from '../src/api/infer/in-order.js'
import type { ApiClient } from '../src/cli/api-client.js'
import { loadConfig } from '../src/config.js'
import { ReplicaClient } from '../src/inference/client.js'
import type { Base } from '../src/model/base.js'
import { homePaths } from '../src/supervisor/home.js'
import { privateRedisUrl } from '../src/supervisor/redis.js'
import { defaultBaseSource, openDefaultBase } from './default-base.js'
import { BenchFailure } from './failure.js'
import { classify, fillSlots, rowsOfBytes, trainLongRows, trainSnips, upload } from './memory-loads.js'
import { forgetPeak, memoryOf, peakOf, pidsOf, type ServicePids } from './process-memory.js'
import { report, type Table } from './report.js'
import { type BenchService, startBenchService } from './service.js'
import { StoredTasks, VIRTUAL_TOKENS } from './stored-tasks.js'

const FEW_SLOTS = 16
const MANY_SLOTS = 64
const CONTEXT = 1024
const PROMPTS = [100, 1_000]
/** So that all of them stay. */
const PROMPT_CACHE_BYTES = 2 ** 31
const TASKS = 10_000
const AT_ONCE = 16
/** The default, and twice that. */
const MICRO_BATCH_TOKENS = [1024, 2048]
const MiB = 2 ** 20
const UPLOAD_BYTES = 100 * MiB

type ProcessName = keyof ServicePids
/** Bytes. Of a peak only the resident ones are known. */
interface Row { readonly process: ProcessName, readonly when: string, readonly resident: number, readonly private: number | null }
interface RedisCosts { readonly taskBytes: number, readonly versionBytes: number, readonly jobBytes: number, readonly jobEvents: number }
interface Raw { readonly base: string, readonly context: number, readonly virtualTokens: number, readonly classificationsPerSecond: number, readonly memory: readonly Row[], readonly redis: RedisCosts }

export async function memory (args: string[]): Promise<void> {
  const { values } = parseArgs({ args, options: { json: { type: 'boolean', default: false } } })
  const config = loadConfig(process.env)
  const base = await openDefaultBase(config)
  const source = await defaultBaseSource(config)
  const few = await withService(source, FEW_SLOTS, async service => await observeAll(service, base))
  const many = await withService(source, MANY_SLOTS, async service => {
    const observer = new Observer(service)
    await observeSlots(service, base, MANY_SLOTS, observer)
    return observer.rows
  })
  const raw: Raw = { base: base.manifest.name, context: CONTEXT, virtualTokens: VIRTUAL_TOKENS, ...few, memory: [...few.memory, ...many] }
  report('memory', [memoryTable(raw), redisTable(raw)], raw, values.json)
}

/** Looks at the processes of one started service. */
class Observer {
  readonly rows: Row[] = []
  readonly #pids: ServicePids

  constructor (service: BenchService) {
    this.#pids = pidsOf(homePaths(service.home))
  }

  see (process: ProcessName, when: string): void {
    this.rows.push({ process, when, ...memoryOf(this.#pids[process]) })
  }

  /** The most that is resident while `work` goes on. */
  async seePeak<Result> (process: ProcessName, when: string, work: () => Promise<Result>): Promise<Result> {
    forgetPeak(this.#pids[process])
    const result = await work()
    this.rows.push({ process, when: `${when}, peak`, resident: peakOf(this.#pids[process]), private: null })
    return result
  }
}

async function withService<Result> (source: string, slots: number, work: (service: BenchService) => Promise<Result>): Promise<Result> {
  const service = await startBenchService(source, { KV_SLOTS: String(slots), MAX_CONTEXT: String(CONTEXT), PROMPT_CACHE_BYTES: String(PROMPT_CACHE_BYTES) })
  try {
    return await work(service)
  } finally {
    await service.stop()
  }
}

async function observeAll (service: BenchService, base: Base): Promise<Pick<Raw, 'classificationsPerSecond' | 'memory' | 'redis'>> {
  const { client, home } = service
  const observer = new Observer(service)
  await observeSlots(service, base, FEW_SLOTS, observer)
  for (const process of ['supervisor', 'redis', 'api', 'worker'] as const) observer.see(process, 'idle')
  const tasks = await StoredTasks.open(base, home, privateRedisUrl(homePaths(home)))
  try {
    const classificationsPerSecond = await observePrompts(service, tasks, observer)
    const redis = await observeTasks(client, tasks, observer)
    await observer.seePeak('api', `a file of ${UPLOAD_BYTES / MiB} MiB arrives`, async () => await upload(client, rowsOfBytes(UPLOAD_BYTES)))
    const job = await observer.seePeak('worker', 'trains SNIPS by default', async () => await trainSnips(client))
    const { bytes, events } = await tasks.redisBytesOfJob(job)
    for (const tokens of MICRO_BATCH_TOKENS) {
      await observer.seePeak('worker', `trains rows of 512 tokens, micro_batch_tokens ${tokens}`, async () => await trainLongRows(client, tokens))
    }
    observer.see('worker', 'idle after that')
    return { classificationsPerSecond, memory: observer.rows, redis: { ...redis, jobBytes: bytes, jobEvents: events } }
  } finally {
    await tasks.close()
  }
}

async function observeSlots ({ client }: BenchService, { manifest }: Base, slots: number, observer: Observer): Promise<void> {
  observer.see('inference', `${slots} slots, none used yet`)
  await fillSlots(client, manifest.name, slots, CONTEXT)
  observer.see('inference', `${slots} slots, each used to its end`)
}

/** @returns classifications in a second, each by another prompt, all prompts in memory */
async function observePrompts ({ client, home }: BenchService, tasks: StoredTasks, observer: Observer): Promise<number> {
  let there = 0
  for (const count of PROMPTS) {
    await each(there, count, async (name, index) => await tasks.addWithPrompt(name, index))
    await each(0, count, async name => await classify(client, name))
    await checkCached(home, count)
    observer.see('inference', `${FEW_SLOTS} slots, ${count} prompts cached`)
    there = count
  }
  const begun = performance.now()
  await each(0, there, async name => await classify(client, name))
  const seconds = (performance.now() - begun) / 1000
  observer.see('api', `after ${there} requests in ${seconds.toFixed(0)} s`)
  return there / seconds
}

async function checkCached (home: string, count: number): Promise<void> {
  const inference = new ReplicaClient(`unix:${join(homePaths(home).sockets, 'inference.sock')}`)
  const { promptsCached } = await inference.status()
  inference.close()
  if (promptsCached < count) throw new BenchFailure(`${promptsCached} of ${count} prompts are cached`)
}

async function observeTasks (client: ApiClient, tasks: StoredTasks, observer: Observer): Promise<Pick<RedisCosts, 'taskBytes' | 'versionBytes'>> {
  const there = PROMPTS.at(-1)!
  const before = await tasks.redisBytes()
  await each(there, TASKS, async (name, index) => await tasks.add(name, index))
  const withTasks = await tasks.redisBytes()
  observer.see('redis', `${TASKS} tasks of one version`)
  await client.get('/v1/tasks')
  observer.see('api', `has listed ${TASKS} tasks`)
  await each(0, TASKS, async (name, index) => { await tasks.publish(name, index) })
  return { taskBytes: (withTasks - before) / (TASKS - there), versionBytes: (await tasks.redisBytes() - withTasks) / TASKS }
}

/** Tasks number `from` to under `to`, some at a time. */
async function each (from: number, to: number, work: (name: string, index: number) => Promise<void>): Promise<void> {
  const indices = Array.from({ length: to - from }, (_, i) => from + i)
  await inOrder(indices, AT_ONCE, async index => await work(`task-${index}`, index))
}

function memoryTable ({ base, context, virtualTokens, classificationsPerSecond, memory }: Raw): Table {
  return {
    title: `Memory: ${base}, slots of ${context} positions, prompts of ${virtualTokens} virtual tokens; ${classificationsPerSecond.toFixed(0)} short classifications/s`,
    columns: ['process', 'when', 'resident MiB', 'private MiB'],
    rows: [...memory].sort((a, b) => a.process < b.process ? -1 : a.process > b.process ? 1 : 0).map(row => [row.process, row.when, mebibytes(row.resident), mebibytes(row.private)])
  }
}

function mebibytes (bytes: number | null): string {
  return bytes === null ? '' : (bytes / MiB).toFixed(0)
}

function redisTable ({ redis: { taskBytes, versionBytes, jobBytes, jobEvents } }: Raw): Table {
  return {
    title: 'Memory of Redis for each',
    columns: ['what', 'bytes'],
    rows: [
      ['task with its first version and alias', taskBytes.toFixed(0)],
      ['further version, its move of the alias remembered', versionBytes.toFixed(0)],
      [`finished training job of ${jobEvents} events`, jobBytes]
    ]
  }
}
