/** transformers + PEFT on torch CPU: the base's own weights, and the prompts as the adapter folders that they are. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { BASE_FILES, type Base } from '../../src/model/base.js'
import { PROJECT_ROOT } from '../../src/project.js'
import type { ArtifactFiles } from '../../src/prompt/artifact.js'
import { BenchFailure } from '../failure.js'
import { ChildSubject, type Reply } from './child-subject.js'
import { FastestOf } from './fastest-of.js'
import type { Load, Subject } from './subject.js'

export const PEFT = 'transformers + PEFT'

const SCRIPT = join(PROJECT_ROOT, 'bench', 'serving', 'peft-process.py')
const DTYPES = ['float32', 'bfloat16'] as const

export interface PeftOptions {
  /** PYTHON, or whatever is called python3. */
  readonly python: string
  readonly base: Base
  readonly prompts: readonly ArtifactFiles[]
  /** Each is tried. */
  readonly threads: readonly number[]
  /** What it has to generate in float32 if it is the same model: a load, and the ids of each of its rows. */
  readonly expected: { readonly load: Load, readonly ids: ReadonlyArray<readonly number[]> }
}

/** @throws BenchFailure when that Python has no such packages, or what it runs is not the same model */
export async function openPeft ({ python, base, prompts, threads, expected }: PeftOptions): Promise<FastestOf> {
  const folder = await mkdtemp(join(tmpdir(), 'permafrost-peft-'))
  const variants: ChildSubject[] = []
  try {
    const adapters = await writeAdapters(folder, prompts)
    for (const dtype of DTYPES) {
      for (const count of threads) {
        const variant = await openProcess(python, `${dtype}, ${count} thread${count === 1 ? '' : 's'}`, {
          weights: join(base.folder, BASE_FILES.weights), config: base.manifest.config, adapters, dtype, threads: count
        })
        variants.push(variant)
        if (dtype === 'float32') await checkSame(variant, expected)
      }
    }
    return new FastestOf(PEFT, variants)
  } catch (error) {
    for (const variant of variants) await variant.close()
    throw error
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

async function writeAdapters (folder: string, prompts: readonly ArtifactFiles[]): Promise<string[]> {
  const adapters = []
  for (const [number, files] of prompts.entries()) {
    const adapter = join(folder, String(number))
    await mkdir(adapter)
    for (const [name, bytes] of files) await writeFile(join(adapter, name), bytes)
    adapters.push(adapter)
  }
  return adapters
}

async function openProcess (python: string, name: string, settings: object): Promise<ChildSubject> {
  const child = spawn(python, [SCRIPT, JSON.stringify(settings)], { stdio: ['pipe', 'pipe', 'inherit'] })
  const lines = createInterface(child.stdout)
  // Written to when it is gone: its exit says that.
  child.stdin.on('error', () => {})
  try {
    return await ChildSubject.open(name, {
      child,
      send: load => { child.stdin.write(`${JSON.stringify(load)}\n`) },
      reply: async signal => JSON.parse((await once(lines, 'line', { signal }))[0] as string) as Reply,
      end: () => child.stdin.end()
    })
  } catch (error) {
    child.kill()
    throw new BenchFailure(`${(error as Error).message} (PYTHON names one that has the packages torch, transformers and peft)`)
  }
}

async function checkSame (variant: Subject, { load, ids }: PeftOptions['expected']): Promise<void> {
  const answer = await variant.run(load)
  const other = ids.findIndex((row, index) => row.some((id, position) => id !== answer.ids[index]![position]))
  if (other >= 0) throw new BenchFailure(`it is not the same model: in float32 it generates ${String(answer.ids[other])} in row ${other}, not ${String(ids[other])}`)
}
