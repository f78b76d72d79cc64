/**
 * `npm run bench -- serving`: decode and prefill of the engine on the default base, with a different prompt in front of
 * each row and without prompts, against node-llama-cpp and transformers + PEFT on the same weights, in turn in the same call.
 */
import { statSync } from 'node:fs'
import { availableParallelism, loadavg } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { loadConfig } from '../src/config.js'
import { BASE_FILES, type Base } from '../src/model/base.js'
import { loadTokenizer } from '../src/model/bpe-tokenizer.js'
import { CALIBRATION_TEXT } from '../src/model/calibration-text.js'
import type { ArtifactFiles } from '../src/prompt/artifact.js'
import { homePaths } from '../src/supervisor/home.js'
import { promptFiles, type TestService, tinyService } from '../test/inference/tiny-service.js'
import { seededNumbers } from '../test/support/numbers.js'
import { defaultBaseSource, openDefaultBase } from './default-base.js'
import { BenchFailure } from './failure.js'
import { report, type Table } from './report.js'
import { type Case, CONTEXT, MOST_ROWS, servingCases, VIRTUAL_TOKENS } from './serving/cases.js'
import { type Choice, FastestOf } from './serving/fastest-of.js'
import { type Measured, measured, mediansTable, missed, ratiosTable } from './serving/outcome.js'
import { WITH_PROMPTS, withoutPrompts, withPrompts } from './serving/own-engine.js'
import { benchFolder, openPeers, type Peers } from './serving/peers.js'
import { PEFT } from './serving/peft.js'
import type { Load, Run, Subject } from './serving/subject.js'
import { inTurn, median } from './statistics.js'

const FORMAT = 'w8a8'
/** What the peers that claim to be the same model have to generate as we do in float32. */
const COMPARED = { rows: 4, tokens: 24 }
/** Numbers of a trained prompt are of this order. */
const SCALE = 0.1

export async function serving (args: string[]): Promise<void> {
  const { values } = parseArgs({ args, options: { json: { type: 'boolean', default: false }, rounds: { type: 'string', default: '5' } } })
  const rounds = Number(values.rounds)
  if (!Number.isInteger(rounds) || rounds < 1) throw new BenchFailure(`--rounds takes a whole number from 1, not "${values.rounds}"`)
  const config = loadConfig(process.env)
  const threads = config.INFERENCE_THREADS || availableParallelism()
  const base = await openDefaultBase(config)
  const text = (await loadTokenizer(base.folder)).encode(CALIBRATION_TEXT)
  const cases = servingCases(text)
  const prompts = randomPrompts(base)
  const { rows } = cases.find(({ load }) => load.rows.length === MOST_ROWS)!.load
  const peers = await openPeers({
    source: await defaultBaseSource(config), folder: benchFolder(homePaths(config.PERMAFROST_HOME).home), sequences: MOST_ROWS, contextSize: CONTEXT, threads, say,
    base, prompts, expected: await inFloat32(base, prompts, { rows: rows.slice(0, COMPARED.rows), maxTokens: COMPARED.tokens })
  })
  const service = await tinyService(base, { format: FORMAT, slots: MOST_ROWS, maxContext: CONTEXT, threads, promptCacheBytes: 2 ** 28 })
  try {
    const subjects = [...await ownSubjects(service, prompts), ...peers.subjects]
    const loadBefore = loadavg()[0]!
    const tokensBefore = service.service.status().promptTokensPrefilledTotal
    const results = await measureAll(cases, subjects, rounds)
    const raw = {
      base: base.manifest.name, format: FORMAT, engine: service.engine.kind, threads, virtualTokens: VIRTUAL_TOKENS, rounds, peers: peers.versions, absent: peers.absent,
      loadBefore, loadAfter: loadavg()[0]!, weightBytes: weightBytes(base), cases: results, fastest: fastestOf(cases, peers),
      virtualTokensRun: service.service.status().promptTokensPrefilledTotal - tokensBefore
    }
    const title = `Serving: ${raw.base}, ${FORMAT}, ${threads} threads, medians of ${rounds} rounds${Object.entries(peers.versions).map(([name, version]) => `, ${name} ${version}`).join('')}`
    report('serving', [mediansTable(title, results), ratiosTable(results), circumstances(raw)], raw, values.json)
    const failures = missed(results)
    if (failures.length > 0) throw new BenchFailure(`missed:\n  ${failures.join('\n  ')}`)
  } finally {
    await service.stop(0)
    for (const peer of peers.subjects) await peer.close()
  }
}

function say (line: string): void {
  process.stderr.write(`${line}\n`)
}

function randomPrompts (base: Base): ArtifactFiles[] {
  const random = seededNumbers(1)
  return Array.from({ length: MOST_ROWS }, () => promptFiles(base, { method: 'prompt-tuning', virtualTokens: VIRTUAL_TOKENS, value: () => SCALE * random() }))
}

async function ownSubjects (service: TestService, prompts: readonly ArtifactFiles[]): Promise<Subject[]> {
  const digests = prompts.map(files => service.artifacts.put(files))
  for (const digest of digests) await service.service.preload(digest)
  return [withPrompts(service, digests), withoutPrompts(service)]
}

/** What the same model answers, to the rounding of float32. */
async function inFloat32 (base: Base, prompts: readonly ArtifactFiles[], load: Load): Promise<{ load: Load, ids: Run['ids'] }> {
  const service = await tinyService(base, { format: 'float32' })
  try {
    return { load, ids: (await withPrompts(service, prompts.map(files => service.artifacts.put(files))).run(load)).ids }
  } finally {
    await service.stop(0)
  }
}

interface Fastest extends Choice { readonly peer: string, readonly case: string }

/** Of peers whose variant was chosen load by load. */
function fastestOf (cases: readonly Case[], { subjects }: Peers): Fastest[] {
  return subjects.flatMap(subject => subject instanceof FastestOf
    ? [...subject.choices].map(([load, choice]) => ({ peer: subject.name, case: cases.find(one => one.load === load)!.name, ...choice }))
    : [])
}

/** The first run of each load warms up and is left out. */
async function measureAll (cases: readonly Case[], subjects: readonly Subject[], rounds: number): Promise<Measured[]> {
  const numbers = cases.map(() => Object.fromEntries(subjects.map(({ name }) => [name, [] as number[]])))
  const loads = [...new Set(cases.map(({ load }) => load))]
  for (const load of loads) for (const subject of subjects) await subject.run(load)
  for (let round = 0; round < rounds; round++) {
    say(`round ${round + 1} of ${rounds}`)
    for (const load of loads) {
      for (const subject of inTurn(subjects, round)) {
        const run = await subject.run(load)
        for (const [index, one] of cases.entries()) if (one.load === load) numbers[index]![subject.name]!.push(one.measure(run))
      }
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
  readonly fastest: readonly Fastest[]
  readonly loadBefore: number
  readonly loadAfter: number
}

function circumstances ({ weightBytes, virtualTokensRun, cases, absent, fastest, loadBefore, loadAfter }: Circumstances): Table {
  const single = median(cases[0]!.rounds[WITH_PROMPTS]!)
  return {
    title: 'Beside that',
    columns: ['what', 'is'],
    rows: [
      ['weights read for each step', `${(weightBytes / 1e6).toFixed(0)} MB`],
      ['read by decode of 1 row', `${(single * weightBytes / 1e9).toFixed(1)} GB/s`],
      ['virtual tokens run with warm prompts', virtualTokensRun],
      ['load of the machine before and after', `${loadBefore.toFixed(1)}, ${loadAfter.toFixed(1)}`],
      ...fastest.length === 0 ? [] : [[PEFT, `the same weights and prompts, greedy; virtual tokens run with each request; ${COMPARED.rows} x ${COMPARED.tokens} tokens in float32 equal to ours`]],
      ...fastest.map(({ peer, case: name, variant }) => [`${peer}, one row after another: the fastest for ${name}`, variant]),
      ...absent.map(line => ['not measured', line])
    ]
  }
}
