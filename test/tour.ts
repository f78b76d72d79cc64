/**
 * The tour of the README on the real default base, as a user takes it: start, train, see the version served, evaluate.
 * Needs nothing outside the project but the network (or the model's file in the folder of PERMAFROST_MODELS).
 */
import { existsSync } from 'node:fs'
import { mkdir, mkdtemp, rm, symlink } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { PROJECT_ROOT } from '../src/project.js'
import { homePaths } from '../src/supervisor/home.js'
import { DEFAULT_MODEL } from '../src/supervisor/model-sources/known-file.js'
import { environment, permafrost, startService } from './support/service.js'

const MIN_ACCURACY = 0.94
/** On 2 cores with nothing else running. A busy machine takes longer, which is said and is no failure. */
const MINUTES_TO_PUBLISH = 10
const SNIPS = join(PROJECT_ROOT, 'examples', 'snips')
const TASK = 'snips'

const home = await mkdtemp(join(tmpdir(), 'permafrost-tour-'))
const times: string[] = []

async function timed<T> (name: string, work: () => Promise<T>): Promise<T> {
  console.log(`\n== ${name}`)
  const begun = performance.now()
  const result = await work()
  times.push(`${name}: ${((performance.now() - begun) / 1000).toFixed(1)} s`)
  return result
}

function check (holds: boolean, what: string): void {
  if (!holds) throw new Error(`the tour fails: ${what}`)
}

/** A command that has to succeed, shown as it runs; its output. */
async function command (...args: string[]): Promise<string> {
  console.log(`$ permafrost ${args.join(' ')}`)
  const { code, stdout } = await permafrost(environment(home), args, { echo: true })
  check(code === 0, `permafrost ${args[0] ?? ''} ended with exit code ${String(code)}`)
  return stdout
}

/** A file that is there already is used, and checked like any other. */
async function reuseModel (): Promise<void> {
  const folder = process.env['PERMAFROST_MODELS']
  if (folder === undefined) return
  const cached = join(folder, DEFAULT_MODEL.name)
  if (!existsSync(cached)) throw new Error(`PERMAFROST_MODELS has no ${DEFAULT_MODEL.name}`)
  await mkdir(homePaths(home).models, { recursive: true })
  await symlink(cached, join(homePaths(home).models, DEFAULT_MODEL.name))
}

async function tour (): Promise<void> {
  await reuseModel()
  const service = await timed('start', async () => await startService(home, {}, line => console.log(line)))
  try {
    await timed('train and publish', async () => {
      const begun = performance.now()
      await command('train', join(SNIPS, 'train.jsonl'), '--task', TASK, '--watch')
      const minutes = (performance.now() - begun) / 60_000
      console.log(`published after ${minutes.toFixed(1)} minutes${minutes > MINUTES_TO_PUBLISH ? `, more than the ${MINUTES_TO_PUBLISH} of a quiet machine` : ''}`)
    })
    await timed('first answer', async () => {
      const { version, label } = JSON.parse(await command('infer', TASK, 'will it rain in Lisbon tomorrow', '--json')) as { version: number, label: string }
      check(version === 1, `version ${version} answers, not the new one`)
      check(label === 'get weather', `the answer is "${label}"`)
    })
    await timed('evaluate', async () => {
      const { rows, errors, metrics } = JSON.parse(await command('eval', TASK, join(SNIPS, 'test.jsonl'), '--json')) as { rows: number, errors: number, metrics: { accuracy: number } }
      check(errors === 0, `${errors} of ${rows} rows got no answer`)
      check(metrics.accuracy >= MIN_ACCURACY, `accuracy is ${metrics.accuracy.toFixed(4)}, expected at least ${MIN_ACCURACY}`)
    })
  } finally {
    await timed('stop', async () => await service.stop())
  }
}

try {
  await tour()
  console.log(`\n${times.join('\n')}`)
} catch (error) {
  console.error(`\n${times.join('\n')}\n${(error as Error).message}`)
  process.exitCode = 1
} finally {
  await rm(home, { recursive: true, force: true })
}
