/**
 * `npm run bench -- serving`: decode and prefill of the engine on the default base, with a different prompt in front of
 * each row and without prompts, against node-llama-cpp on the same weights, in turn in the same call.
 */
import { statSync } from 'node:fs'
import { availableParallelism, loadavg } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { loadConfig } from '../src/config.js'
import { BASE_FILES, type Base } from '../src/model/base.js'
import { loadTokenizer } from '../src/model/bpe-tokenizer.js'
import { CALIBRATION_TEXT } from '../src/model/calibration-text.js'
import { homePaths } from '../src/supervisor/home.js'
import { promptFiles, type TestService, tinyService } from '../test/inference/tiny-service.js'
import { seededNumbers } from '../test/support/numbers.js'
import { defaultBaseSource, openDefaultBase } from './default-base.js'
import { BenchFailure } from './failure.js'
import { report, type Table } from './report.js'
import { type Case, CONTEXT, MOST_ROWS, servingCases, VIRTUAL_TOKENS } from './serving/cases.js'
import { type Measured, measured, mediansTable, missed, ratiosTable } from './serving/outcome.js'
import { WITH_PROMPTS, withoutPrompts, withPrompts } from './serving/own-engine.js'
import { benchFolder, openPeers } from './serving/peers.js'
import type { Subject } from './serving/subject.js'
import { inTurn, median } from './statistics.js'

const FORMAT = 'w8a8'
/** Numbers of a trained prompt are of this order. */
const SCALE = 0.1

export async function serving (args: string[]): Promise<void> {
  const { values } = parseArgs({ args, options: { json: { type: 'boolean', default: false }, rounds: { type: 'string', default: '5' } } })
  const rounds = Number(values.rounds)
  if (!Number.isInteger(rounds) || rounds < 1) throw new BenchFailure(`--rounds takes a whole number from 1, not "${values.rounds}"`)
  const config = loadConfig(process.env)
  const threads = config.INFERENCE_THREADS || availableParallelism()
  const base = await openDefaultBase(config)
  const peers = await openPeers({
    source: await defaultBaseSource(config), folder: benchFolder(homePaths(config.PERMAFROST_HOME).home), sequences: MOST_ROWS, contextSize: CONTEXT, threads, say
  })
  const service = await tinyService(base, { format: FORMAT, slots: MOST_ROWS, maxContext: CONTEXT, threads, promptCacheBytes: 2 ** 28 })
  try {
    const subjects = [...await ownSubjects(service, base), ...peers.subjects]
    const text = (await loadTokenizer(base.folder)).encode(CALIBRATION_TEXT)
    const loadBefore = loadavg()[0]!
    const tokensBefore = service.service.status().promptTokensPrefilledTotal
    const cases = await measureAll(servingCases(text), subjects, rounds)
    const raw = {
      base: base.manifest.name, format: FORMAT, engine: service.engine.kind, threads, virtualTokens: VIRTUAL_TOKENS, rounds, peers: peers.versions, absent: peers.absent,
      loadBefore, loadAfter: loadavg()[0]!, weightBytes: weightBytes(base), cases,
      virtualTokensRun: service.service.status().promptTokensPrefilledTotal - tokensBefore
    }
    const title = `Serving: ${raw.base}, ${FORMAT}, ${threads} threads, medians of ${rounds} rounds${Object.entries(peers.versions).map(([name, version]) => `, ${name} ${version}`).join('')}`
    report('serving', [mediansTable(title, cases), ratiosTable(cases), circumstances(raw)], raw, values.json)
    const failures = missed(cases)
    if (failures.length > 0) throw new BenchFailure(`missed:\n  ${failures.join('\n  ')}`)
  } finally {
    await service.stop(0)
    for (const peer of peers.subjects) await peer.close()
  }
}

function say (line: string): void {
  process.stderr.write(`${line}\n`)
}

async function ownSubjects (service: TestService, base: Base): Promise<Subject[]> {
  const random = seededNumbers(1)
  const prompts = Array.from({ length: MOST_ROWS }, () => service.artifacts.put(promptFiles(base, { method: 'prompt-tuning', virtualTokens: VIRTUAL_TOKENS, value: () => SCALE * random() })))
  for (const prompt of prompts) await service.service.preload(prompt)
  return [withPrompts(service, prompts), withoutPrompts(service)]
}

/** The first run of each case warms up and is left out. */
async function measureAll (cases: readonly Case[], subjects: readonly Subject[], rounds: number): Promise<Measured[]> {
  const numbers = cases.map(() => Object.fromEntries(subjects.map(({ name }) => [name, [] as number[]])))
  for (const one of cases) for (const subject of subjects) await subject.run(one.load)
  for (let round = 0; round < rounds; round++) {
    say(`round ${round + 1} of ${rounds}`)
    for (const [index, { load, measure }] of cases.entries()) {
      for (const subject of inTurn(subjects, round)) numbers[index]![subject.name]!.push(measure(await subject.run(load)))
    }
  }
  return cases.map((one, index) => measured(one, numbers[index]!))
}

/** Read once for each step: everything quantised; of the float32 embeddings a step reads single rows. */
function weightBytes ({ folder, manifest: { config } }: Base): number {
  return statSync(join(folder, BASE_FILES.w8a8Data)).size - config.vocabSize * config.hiddenSize * Float32Array.BYTES_PER_ELEMENT
}

interface Circumstances {
  readonly weightBytes: number
  /** During the measurement, in which every prompt is warm. */
  readonly virtualTokensRun: number
  readonly cases: readonly Measured[]
  readonly absent: readonly string[]
  readonly loadBefore: number
  readonly loadAfter: number
}

function circumstances ({ weightBytes, virtualTokensRun, cases, absent, loadBefore, loadAfter }: Circumstances): Table {
  const single = median(cases[0]!.rounds[WITH_PROMPTS]!)
  return {
    title: 'Beside that',
    columns: ['what', 'is'],
    rows: [
      ['weights read for each step', `${(weightBytes / 1e6).toFixed(0)} MB`],
      ['read by decode of 1 row', `${(single * weightBytes / 1e9).toFixed(1)} GB/s`],
      ['virtual tokens run with warm prompts', virtualTokensRun],
      ['load of the machine before and after', `${loadBefore.toFixed(1)}, ${loadAfter.toFixed(1)}`],
      ...absent.map(line => ['not measured', line])
    ]
  }
}
