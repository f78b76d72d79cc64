/**
 * `npm run bench -- short-inputs`: classifications of different tasks whose inputs are as short as they come (the example
 * data of snips), by as many clients as ask at once: requests and 95th percentile with packs and, in the same run, without.
 */
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { loadConfig } from '../src/config.js'
import type { SequenceRequest } from '../src/inference/protocol.js'
import type { Base } from '../src/model/base.js'
import { loadTokenizer } from '../src/model/bpe-tokenizer.js'
import { PROJECT_ROOT } from '../src/project.js'
import { classification, collect, promptFiles, type TestService, tinyService } from '../test/inference/tiny-service.js'
import { seededNumbers } from '../test/support/numbers.js'
import { openDefaultBase } from './default-base.js'
import { BenchFailure } from './failure.js'
import { report } from './report.js'
import { inTurn, median, medianRatio, percentile } from './statistics.js'
import { readRows } from './texts.js'

const CLIENTS = [1, 4, 16]
const TASKS = 16
const VIRTUAL_TOKENS = 16
const ROUNDS = 7
const REQUESTS = 200
const SLOTS = 16

interface Load { readonly perSecond: number, readonly p95: number, readonly answers: readonly string[] }
interface Measured { readonly clients: number, readonly packed: number, readonly together: readonly Load[], readonly alone: readonly Load[] }

export async function shortInputs (args: string[]): Promise<void> {
  const { values: { json } } = parseArgs({ args, options: { json: { type: 'boolean', default: false } } })
  const config = loadConfig(process.env)
  const base = await openDefaultBase(config)
  const tokenizer = await loadTokenizer(base.folder)
  const inputs = (readRows(join(PROJECT_ROOT, 'examples', 'snips', 'test.jsonl')) as Array<{ input: string }>).map(({ input }) => tokenizer.encode(`${input}\nLabel:`))
  const threads = config.INFERENCE_THREADS || availableParallelism()
  const [together, alone] = await Promise.all([base, withoutLanes(base)].map(each => tinyService(each, { format: 'w8a8', slots: SLOTS, maxContext: 1024, maxWaiting: 64, promptCacheBytes: 2 ** 28, threads })))
  try {
    const requests = await requestsTo(base, [together!, alone!], inputs)
    const measured = []
    for (const clients of CLIENTS) measured.push(await measure(together!, alone!, requests, clients))
    const raw = measured.map(({ clients, packed, ...loads }) => ({ clients, packed, together: loads.together.map(withoutAnswers), alone: loads.alone.map(withoutAnswers) }))
    const tokens = inputs.reduce((sum, { length }) => sum + length, 0) / inputs.length
    report('short-inputs', [{
      title: `Classifications of ${TASKS} tasks, inputs of ${tokens.toFixed(0)} tokens, ${base.manifest.name}, ${threads} threads`,
      columns: ['clients', 'one after another, requests/s', 'packed, requests/s', 'ratio', 'p95 one after another, ms', 'p95 packed, ms', 'ratio', 'of all inputs packed'],
      rows: measured.map(row => [
        row.clients, median(row.alone.map(({ perSecond }) => perSecond)).toFixed(1), median(row.together.map(({ perSecond }) => perSecond)).toFixed(1),
        medianRatio(row.together.map(({ perSecond }) => perSecond), row.alone.map(({ perSecond }) => perSecond)).toFixed(2),
        median(row.alone.map(({ p95 }) => p95)).toFixed(0), median(row.together.map(({ p95 }) => p95)).toFixed(0),
        medianRatio(row.together.map(({ p95 }) => p95), row.alone.map(({ p95 }) => p95)).toFixed(2), `${(100 * row.packed).toFixed(0)} %`
      ])
    }], raw, json)
    const [first] = measured[0]!.alone
    for (const { alone, together } of measured) {
      for (const { answers } of [...alone, ...together]) if (answers.some((answer, index) => answer !== first!.answers[index])) throw new BenchFailure('an answer depends on the way it went')
    }
  } finally {
    await Promise.all([together!.stop(0), alone!.stop(0)])
  }
}

/** As one that an older version imported. */
function withoutLanes ({ folder, manifest }: Base): Base {
  return { folder, manifest: { ...manifest, serving: { ...manifest.serving, w8a8: { ...manifest.serving.w8a8, lanes: false } } } }
}

function withoutAnswers ({ perSecond, p95 }: Load): Omit<Load, 'answers'> {
  return { perSecond, p95 }
}

/** To the tasks in turn, the same in all services, with their prompts compiled. */
async function requestsTo (base: Base, services: readonly TestService[], inputs: ReadonlyArray<readonly number[]>): Promise<SequenceRequest[]> {
  const random = seededNumbers(10)
  const files = Array.from({ length: TASKS }, () => promptFiles(base, { method: 'prompt-tuning', virtualTokens: VIRTUAL_TOKENS, labelTokens: [100, 200, 300, 400, 500, 600, 700], value: () => 0.1 * random() }))
  for (const { artifacts, service } of services) for (const each of files) await service.preload(artifacts.put(each))
  const digests = files.map(each => services[0]!.artifacts.put(each))
  return Array.from({ length: REQUESTS }, (_, index) => classification([...inputs[index % inputs.length]!], digests[index % TASKS]!))
}

async function measure (together: TestService, alone: TestService, requests: readonly SequenceRequest[], clients: number): Promise<Measured> {
  const loads = { together: [] as Load[], alone: [] as Load[] }
  for (const service of [together, alone]) await load(service, requests.slice(0, 40), clients)
  const before = together.loop.packedInputsTotal
  for (let round = 0; round < ROUNDS; round++) {
    for (const kind of inTurn(['together', 'alone'] as const, round)) loads[kind].push(await load(kind === 'together' ? together : alone, requests, clients))
  }
  return { clients, packed: (together.loop.packedInputsTotal - before) / (ROUNDS * requests.length), ...loads }
}

async function load (service: TestService, requests: readonly SequenceRequest[], clients: number): Promise<Load> {
  const answers: string[] = []
  const times: number[] = []
  let next = 0
  const begun = performance.now()
  await Promise.all(Array.from({ length: clients }, async () => {
    for (let index = next++; index < requests.length; index = next++) {
      const asked = performance.now()
      const last = (await collect(service, requests[index]!)).at(-1)!
      times.push(performance.now() - asked)
      answers[index] = JSON.stringify(last.type === 'scores' ? last.logits : last)
    }
  }))
  return { perSecond: 1000 * requests.length / (performance.now() - begun), p95: percentile(times, 0.95), answers }
}
