/**
 * `npm run bench -- structured`: random outputs on real inputs through the engine: how many answers end by themselves,
 * and whether each of those satisfies its output (ajv, the regular expression, the choices); and what masks cost, the
 * same rows with and without them in turn.
 */
import { availableParallelism } from 'node:os'
import { parseArgs } from 'node:util'
import { Ajv } from 'ajv'
import { loadConfig } from '../src/config.js'
import { compileOutput } from '../src/constraint/compile.js'
import type { Output } from '../src/constraint/output.js'
import { TokenMasks } from '../src/inference/token-masks.js'
import { loadVocabulary } from '../src/inference/vocabulary.js'
import type { Base } from '../src/model/base.js'
import { loadTokenizer } from '../src/model/bpe-tokenizer.js'
import type { Tokenizer } from '../src/model/tokenizer.js'
import type { Below } from '../test/constraint/following.js'
import { randomOutput } from '../test/constraint/random-outputs.js'
import { collect, generate, type TestService, tinyService, tokenIds } from '../test/inference/tiny-service.js'
import { seededNumbers } from '../test/support/numbers.js'
import { dataFolder } from './data-folder.js'
import { openDefaultBase } from './default-base.js'
import { BenchFailure } from './failure.js'
import { report, type Table } from './report.js'
import { inTurn, median, medianRatio, percentile } from './statistics.js'
import { realTexts } from './texts.js'

const SEED = 10
const IN_FLIGHT = 16
const INPUT_TOKENS = 48
const MAX_TOKENS = 160
const COST_ROUNDS = 5
const COST_TOKENS = 64
/** Never over, so that with and without it the same number of tokens is generated. */
const ENDLESS: Output = { regex: '(\\{"[a-z_]{1,20}": "[^"\\\\\\n]{0,60}"\\}\\n)+' }

interface Compiled { readonly ms: readonly number[], readonly states: readonly number[] }
interface Counted { readonly cases: number, readonly finished: number, readonly cut: number, readonly invalid: number, readonly tokens: number, readonly seconds: number }
interface Cost { readonly freeMs: readonly number[], readonly maskedMs: readonly number[], readonly walkMs: readonly number[], readonly warmMs: number }

export async function structured (args: string[]): Promise<void> {
  const { values } = parseArgs({ args, options: { json: { type: 'boolean', default: false }, cases: { type: 'string', default: '1000' } } })
  const cases = Number(values.cases)
  if (!Number.isInteger(cases) || cases < 1) throw new BenchFailure(`--cases takes a whole number from 1, not "${values.cases}"`)
  const config = loadConfig(process.env)
  const texts = realTexts(dataFolder(config), Math.ceil(cases / 6))
  const base = await openDefaultBase(config)
  const random = seededNumbers(SEED)
  const below: Below = limit => Math.floor((random() + 1) / 2 * limit)
  const outputs = Array.from({ length: cases }, () => randomOutput(below))
  const compiled = compileAll(outputs)
  const service = await tinyService(base, { format: 'w8a8', slots: IN_FLIGHT, maxContext: 512, maxWaiting: cases, threads: config.INFERENCE_THREADS || availableParallelism() })
  try {
    const tokenizer = await loadTokenizer(base.folder)
    const cost = await costOf(base, service, tokenizer, texts)
    const counted = await answersOf(base, service, tokenizer, outputs, texts)
    report('structured', tablesOf(base, compiled, counted, cost), { base: base.manifest.name, seed: SEED, compiled, counted, cost }, values.json)
    if (counted.invalid > 0) throw new BenchFailure(`${counted.invalid} of ${counted.finished} answers that ended by themselves do not satisfy their output`)
  } finally {
    await service.stop(0)
  }
}

function compileAll (outputs: readonly Output[]): Compiled {
  const ms: number[] = []
  const states: number[] = []
  for (const output of outputs) {
    const begun = performance.now()
    states.push(compileOutput(output).automaton.accepting.length)
    ms.push(performance.now() - begun)
  }
  return { ms, states }
}

async function answersOf (base: Base, service: TestService, tokenizer: Tokenizer, outputs: readonly Output[], texts: readonly string[]): Promise<Counted> {
  const begun = performance.now()
  let finished = 0, cut = 0, invalid = 0, tokens = 0, next = 0
  async function worker (): Promise<void> {
    for (let index = next++; index < outputs.length; index = next++) {
      const output = outputs[index]!
      const events = await collect(service, generate(inputOf(tokenizer, texts, index, output), {
        maxTokens: MAX_TOKENS, stopTokenIds: [...base.manifest.config.eosTokenIds], output, sampling: index % 2 === 0 ? {} : { temperature: 0.8, topP: 0.95, seed: index }
      }))
      const last = events.at(-1)!
      if (last.type !== 'finished') throw new Error(`internal: ${JSON.stringify(last)}`)
      const ids = tokenIds(events)
      tokens += ids.length
      if (last.reason === 'length') {
        cut++
        continue
      }
      finished++
      const text = tokenizer.decode(ids)
      if (satisfies(text, output)) continue
      invalid++
      process.stderr.write(`${JSON.stringify(output)}\n  ${JSON.stringify(text)}\n`)
    }
  }
  await Promise.all(Array.from({ length: IN_FLIGHT }, worker))
  return { cases: outputs.length, finished, cut, invalid, tokens, seconds: (performance.now() - begun) / 1000 }
}

function inputOf (tokenizer: Tokenizer, texts: readonly string[], index: number, output: Output): number[] {
  const ask = output.json_schema === undefined ? 'Answer:' : 'As JSON:'
  return [...tokenizer.encode(texts[index % texts.length]!).slice(0, INPUT_TOKENS), ...tokenizer.encode(`\n${ask}\n`, { addSpecial: false })]
}

/** By others than those who made the masks. */
function satisfies (text: string, { json_schema: schema, choices, regex }: Output): boolean {
  if (choices !== undefined) return choices.includes(text)
  if (regex !== undefined) return new RegExp(`^(?:${regex})$`, 'u').test(text)
  try {
    return new Ajv({ strict: false }).compile(schema!)(JSON.parse(text))
  } catch {
    return false
  }
}

async function costOf (base: Base, service: TestService, tokenizer: Tokenizer, texts: readonly string[]): Promise<Cost> {
  const freeMs: number[] = []
  const maskedMs: number[] = []
  const sides = [{ into: freeMs, options: {} }, { into: maskedMs, options: { output: ENDLESS } }]
  for (let round = -1; round < COST_ROUNDS; round++) {
    for (const { into, options } of inTurn(sides, Math.abs(round))) {
      const all = await Promise.all(Array.from({ length: IN_FLIGHT }, async (_, row) =>
        await collect(service, generate(inputOf(tokenizer, texts, row, ENDLESS), { maxTokens: COST_TOKENS, sampling: { temperature: 0.8, seed: row }, ...options }))))
      const last = all[0]!.at(-1)!
      if (last.type !== 'finished') throw new Error(`internal: ${JSON.stringify(last)}`)
      // The first round warms up.
      if (round >= 0) into.push(last.timing.decodeMs / (COST_TOKENS - 1))
    }
  }
  return { freeMs, maskedMs, ...await masksAlone(base) }
}

/** A mask made for the first time, and taken from memory. */
async function masksAlone (base: Base): Promise<{ walkMs: number[], warmMs: number }> {
  const vocabulary = await loadVocabulary(base.folder, base.manifest.config.vocabSize)
  const compiled = compileOutput(ENDLESS, vocabulary.singleBytes)
  const masks = new TokenMasks(compiled, vocabulary)
  const states = Array.from({ length: 100 }, (_, index) => Math.floor(index * compiled.automaton.accepting.length / 100))
  const walkMs = states.map(state => {
    const begun = performance.now()
    masks.of(state, false)
    return performance.now() - begun
  })
  const begun = performance.now()
  for (const state of states) masks.of(state, false)
  return { walkMs, warmMs: (performance.now() - begun) / states.length }
}

function fixed (value: number, digits = 2): string {
  return value.toFixed(digits)
}

function tablesOf (base: Base, compiled: Compiled, { cases, finished, cut, invalid, tokens, seconds }: Counted, cost: Cost): Table[] {
  return [
    {
      title: `Structured output: ${base.manifest.name}, w8a8, ${IN_FLIGHT} in flight, at most ${MAX_TOKENS} tokens`,
      columns: ['cases', 'ended by themselves', 'cut', 'invalid', 'wanted', 'tokens', 'seconds'],
      rows: [[cases, finished, cut, invalid, 0, tokens, fixed(seconds, 0)]]
    },
    {
      title: `One step of ${IN_FLIGHT} rows`,
      columns: ['without, ms', 'with masks, ms', 'ratio', 'a token costs, us'],
      rows: [[fixed(median(cost.freeMs)), fixed(median(cost.maskedMs)), fixed(medianRatio(cost.maskedMs, cost.freeMs), 3), fixed((median(cost.maskedMs) - median(cost.freeMs)) * 1000 / IN_FLIGHT, 0)]]
    },
    {
      title: 'Compiling, and the mask of a state that comes for the first time',
      columns: ['compile p50, ms', 'p99, ms', 'largest, ms', 'table states p50', 'most', 'mask p50, ms', 'p99, ms', 'from memory, ms'],
      rows: [[
        fixed(median(compiled.ms)), fixed(percentile(compiled.ms, 0.99)), fixed(percentile(compiled.ms, 1)), median(compiled.states), percentile(compiled.states, 1),
        fixed(median(cost.walkMs), 3), fixed(percentile(cost.walkMs, 0.99), 3), fixed(cost.warmMs, 4)
      ]]
    }
  ]
}
