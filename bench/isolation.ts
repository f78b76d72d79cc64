/**
 * `npm run bench -- isolation`: requests of different tasks, methods and lengths that are in flight together, in random
 * mixes, while others arrive and hang up; token ids, scores and log-probabilities are compared to the bit with each
 * request run alone. On a real base, or a hundred thousand times on tiny ones; with either engine.
 */
import { parseArgs } from 'node:util'
import { loadConfig } from '../src/config.js'
import { CApiEngine } from '../src/inference/engine/c-api.js'
import { ENGINE_KINDS, type Engine, type EngineKind, type EngineOptions } from '../src/inference/engine/engine.js'
import { StockEngine } from '../src/inference/engine/stock.js'
import { SERVING_FORMATS, type ServingFormat } from '../src/model/base.js'
import type { Below } from '../test/inference/company.js'
import { publishTasks, requestsTo, runAlone, runMixes } from '../test/inference/mixes.js'
import { tinyService, tokenIds } from '../test/inference/tiny-service.js'
import { seededNumbers } from '../test/support/numbers.js'
import { BenchFailure } from './failure.js'
import { type Model, MODELS, modelsOf } from './isolation/models.js'
import { type Table, report } from './report.js'

const IN_FLIGHT = 8
/** Fewer than requests in flight: some wait, and rows move when others leave. */
const SLOTS = 6
const SEED = 20
const MIXES = { default: 200, tiny: 100_000 }
/** Lines to stderr on the way. */
const PROGRESS_LINES = 20

/** Differences that are spelled out. */
const SHOWN = 3

const OPEN: Readonly<Record<EngineKind, (options: EngineOptions) => Promise<Engine>>> = { 'c-api': CApiEngine.open, stock: StockEngine.open }

interface Options { readonly engine: EngineKind, readonly format: ServingFormat, readonly mixes: number }

export async function isolation (args: string[]): Promise<void> {
  const { values } = parseArgs({
    args,
    options: {
      json: { type: 'boolean', default: false }, model: { type: 'string', default: 'default' }, engine: { type: 'string', default: 'c-api' },
      format: { type: 'string', default: 'w8a8' }, mixes: { type: 'string' }
    }
  })
  const model = oneOf('--model', values.model, MODELS)
  const options = { engine: oneOf('--engine', values.engine, ENGINE_KINDS), format: oneOf('--format', values.format, SERVING_FORMATS), mixes: Number(values.mixes ?? MIXES[model]) }
  if (!Number.isInteger(options.mixes) || options.mixes < 1) throw new BenchFailure(`--mixes takes a whole number from 1, not "${values.mixes}"`)
  const models = modelsOf(model, loadConfig(process.env))
  const counted: Counted[] = []
  for (const open of models) {
    const opened = await open()
    try {
      counted.push(await measure(opened, { ...options, mixes: Math.ceil(options.mixes / models.length) }))
    } finally {
      await opened.dispose()
    }
  }
  report(resultName(model, options), [tableOf(counted, options)], { ...options, model, inFlight: IN_FLIGHT, slots: SLOTS, bases: counted }, values.json)
  const differences = counted.reduce((sum, one) => sum + one.differences, 0)
  if (differences > 0) throw new BenchFailure(`${differences} requests were answered differently in company`)
}

function oneOf<T extends string> (option: string, value: string, choices: readonly T[]): T {
  const found = choices.find(choice => choice === value)
  if (found === undefined) throw new BenchFailure(`${option} takes ${choices.join(' or ')}, not "${value}"`)
  return found
}

function resultName (model: string, { engine, format }: Options): string {
  return ['isolation', ...model === 'default' ? [] : [model], ...format === 'w8a8' ? [] : [format], ...engine === 'c-api' ? [] : [engine]].join('-')
}

interface Counted { readonly base: string, readonly attention: string, readonly mixes: number, readonly requests: number, readonly hungUp: number, readonly distinct: number, readonly tokens: number, readonly scores: number, readonly differences: number, readonly seconds: number }

async function measure (model: Model, { engine, format, mixes }: Options): Promise<Counted> {
  const { name: base, text, inputLengths } = model
  const random = seededNumbers(SEED)
  const below: Below = limit => Math.floor((random() + 1) / 2 * limit)
  const service = await tinyService(model.base, { format, slots: SLOTS, ...model.settings }, OPEN[engine])
  try {
    const tasks = publishTasks(service.artifacts, model.base, model.promptLengths, model.numbers(random))
    const requests = requestsTo(tasks, model.rounds * tasks.length, {
      input: () => cutFrom(text, inputLengths[below(inputLengths.length)]!, below(text.length)),
      maxTokens: () => 1 + below(model.maxTokens),
      stopTokenIds: () => model.stopTokenIds(below)
    })
    const begun = performance.now()
    const seconds = (): number => (performance.now() - begun) / 1000
    const pool = await runAlone(service, requests)
    const progress = Math.ceil(mixes / PROGRESS_LINES)
    let compared = 0, hungUp = 0, tokens = 0, scores = 0, differences = 0
    for await (const { mix, answers, left } of runMixes(service, pool, { mixes, inFlight: IN_FLIGHT, below })) {
      hungUp += left
      for (const { known, events, same } of answers) {
        compared++
        tokens += tokenIds(events).length
        for (const event of events) if (event.type === 'scores') scores += event.logits.length
        if (same) continue
        differences++
        if (differences <= SHOWN) process.stderr.write(`mix ${mix}: ${known.request.work.kind}, ${known.request.inputIds.length} tokens of input differ\n  alone      ${JSON.stringify(known.alone)}\n  in company ${JSON.stringify(events)}\n`)
      }
      if ((mix + 1) % progress === 0) process.stderr.write(`${base}: ${mix + 1} of ${mixes} mixes, ${differences} differences, ${((mix + 1) / seconds()).toFixed(0)} mixes/s\n`)
    }
    return { base, attention: model.base.manifest.serving[format].attention, mixes, requests: compared, hungUp, distinct: pool.length, tokens, scores, differences, seconds: Math.round(seconds()) }
  } finally {
    await service.stop(0)
  }
}

/** `length` ids of a text that goes round. */
function cutFrom (ids: readonly number[], length: number, start: number): number[] {
  return Array.from({ length }, (_, i) => ids[(start + i) % ids.length]!)
}

function tableOf (all: readonly Counted[], { engine, format }: Options): Table {
  return {
    title: `Requests in company against alone: ${format}, engine ${engine}, ${IN_FLIGHT} in flight in ${SLOTS} slots, arriving at random moments of each other`,
    columns: ['base', 'attention', 'mixes', 'requests', 'distinct', 'beside them hung up', 'tokens compared', 'label scores compared', 'differences', 'wanted', 'seconds'],
    rows: all.map(one => [one.base, one.attention, one.mixes, one.requests, one.distinct, one.hungUp, one.tokens, one.scores, one.differences, 0, one.seconds])
  }
}
