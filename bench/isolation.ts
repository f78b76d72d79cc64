/**
 * `npm run bench -- isolation`: on a real base, requests of different tasks, methods and lengths that are in flight
 * together, in random mixes; token ids, scores and log-probabilities are compared to the bit with each request run alone.
 */
import { availableParallelism } from 'node:os'
import { parseArgs } from 'node:util'
import { loadConfig } from '../src/config.js'
import { HeadRows } from '../src/inference/head-rows.js'
import { type Base, SERVING_FORMATS, type ServingFormat } from '../src/model/base.js'
import { loadTokenizer } from '../src/model/bpe-tokenizer.js'
import { CALIBRATION_TEXT } from '../src/model/calibration-text.js'
import type { Method } from '../src/prompt/methods.js'
import { type Below, publishTasks, requestsTo, runAlone, runMixes } from '../test/inference/mixes.js'
import { tinyService, tokenIds } from '../test/inference/tiny-service.js'
import { seededNumbers } from '../test/support/numbers.js'
import { openDefaultBase } from './default-base.js'
import { BenchFailure } from './failure.js'
import { type Table, report } from './report.js'

const IN_FLIGHT = 8
/** Fewer than requests in flight: some wait, and rows move when others leave. */
const SLOTS = 6
const PROMPT_LENGTHS = [1, 7, 20, 64]
const ROUNDS = 3
/** Mostly short ones, as in use; those over the scheduler's chunk are taken in by parts. */
const INPUT_LENGTHS = [1, 2, 3, 5, 8, 12, 17, 24, 33, 48, 64, 96, 140, 200, 257, 300]
const MAX_TOKENS = 20
/** Keys and values of a trained prefix are of this order. */
const PREFIX_SCALE = 1.5
const SEED = 20

export async function isolation (args: string[]): Promise<void> {
  const { values } = parseArgs({ args, options: { json: { type: 'boolean', default: false }, format: { type: 'string' }, mixes: { type: 'string', default: '200' } } })
  const mixes = Number(values.mixes)
  if (!Number.isInteger(mixes) || mixes < 1) throw new BenchFailure(`--mixes takes a whole number from 1, not "${values.mixes}"`)
  const formats = values.format === undefined ? ['w8a8'] as const : SERVING_FORMATS.filter(format => format === values.format)
  if (formats.length === 0) throw new BenchFailure(`--format takes ${SERVING_FORMATS.join(' or ')}, not "${values.format}"`)
  const config = loadConfig(process.env)
  const base = await openDefaultBase(config)
  for (const format of formats) {
    const counted = await measure(base, format, mixes, config.INFERENCE_THREADS || availableParallelism())
    report(format === 'w8a8' ? 'isolation' : `isolation-${format}`, [tableOf(base, counted)], { base: base.manifest.name, ...counted }, values.json)
    if (counted.differences > 0) throw new BenchFailure(`${counted.differences} of ${counted.requests} requests were answered differently in company`)
  }
}

interface Counted { readonly format: ServingFormat, readonly mixes: number, readonly requests: number, readonly distinct: number, readonly tokens: number, readonly scores: number, readonly differences: number, readonly seconds: number }

async function measure (base: Base, format: ServingFormat, mixes: number, threads: number): Promise<Counted> {
  const random = seededNumbers(SEED)
  const below: Below = limit => Math.floor((random() + 1) / 2 * limit)
  // Room for about half of the prompts: some are compiled again while other requests decode.
  const service = await tinyService(base, { format, slots: SLOTS, maxContext: 512, threads, promptCacheBytes: 2 ** 25 })
  try {
    const tasks = publishTasks(service.artifacts, base, PROMPT_LENGTHS, await realisticNumbers(base, random))
    const text = (await loadTokenizer(base.folder)).encode(CALIBRATION_TEXT)
    const requests = requestsTo(tasks, ROUNDS * tasks.length, {
      input: () => cutFrom(text, INPUT_LENGTHS[below(INPUT_LENGTHS.length)]!, below(text.length)),
      maxTokens: () => 1 + below(MAX_TOKENS),
      stopTokenIds: () => [...base.manifest.config.eosTokenIds]
    })
    const begun = performance.now()
    const pool = await runAlone(service, requests)
    let compared = 0, tokens = 0, scores = 0, differences = 0
    for await (const { mix, known, events, same } of runMixes(service, pool, { mixes, inFlight: IN_FLIGHT, below })) {
      compared++
      tokens += tokenIds(events).length
      for (const event of events) if (event.type === 'scores') scores += event.logits.length
      if (!same) {
        differences++
        process.stderr.write(`mix ${mix}: ${known.request.work.kind}, ${known.request.inputIds.length} tokens of input differ\n  alone      ${JSON.stringify(known.alone)}\n  in company ${JSON.stringify(events)}\n`)
      }
    }
    return { format, mixes, requests: compared, distinct: pool.length, tokens, scores, differences, seconds: Math.round((performance.now() - begun) / 1000) }
  } finally {
    await service.stop(0)
  }
}

/** Numbers of the size that trained prompts have: embeddings and label vectors as the base's own rows. */
async function realisticNumbers (base: Base, random: () => number): Promise<{ value: (method: Method) => number, labelValue: () => number }> {
  const head = await HeadRows.open(base.folder)
  try {
    const rows = await head.read(Array.from({ length: 64 }, (_, i) => Math.floor(i * base.manifest.config.vocabSize / 64)))
    // Uniform numbers in [-a, a) have the root mean square a / sqrt(3).
    const scale = Math.sqrt(3 * rows.reduce((sum, x) => sum + x * x, 0) / rows.length)
    return { value: method => random() * (method === 'prefix-tuning' ? PREFIX_SCALE : scale), labelValue: () => random() * scale }
  } finally {
    await head.close()
  }
}

/** `length` ids of a text that goes round. */
function cutFrom (ids: readonly number[], length: number, start: number): number[] {
  return Array.from({ length }, (_, i) => ids[(start + i) % ids.length]!)
}

function tableOf (base: Base, { format, mixes, requests, distinct, tokens, scores, differences, seconds }: Counted): Table {
  return {
    title: `Requests in company against alone: ${base.manifest.name}, ${format}`,
    columns: ['mixes', 'in flight', 'requests', 'distinct', 'tokens compared', 'label scores compared', 'differences', 'wanted', 'seconds'],
    rows: [[mixes, IN_FLIGHT, requests, distinct, tokens, scores, differences, 0, seconds]]
  }
}
