/** Whom the engine is compared with on this machine; who is missing says why. */
import { join } from 'node:path'
import { BenchFailure } from '../failure.js'
import type { ChildSubject } from './child-subject.js'
import type { FastestOf } from './fastest-of.js'
import { openLlama } from './llama.js'
import { llamaModule } from './llama-package.js'
import { openPeft, PEFT, type PeftOptions } from './peft.js'
import { q8File } from './q8-file.js'

export const LLAMA_AS_SHIPPED = 'llama.cpp, file as shipped'
export const LLAMA_Q8 = 'llama.cpp Q8_0'

/** Its threads wait by spinning, so on few or busy cores one may be faster: each peer runs with one and with all. */
function variantName (peer: string, threads: number): string {
  return `${peer}, ${threads} thread${threads === 1 ? '' : 's'}`
}

/** Which peer a variant is of; of our own subjects the name itself. */
export function peerOf (name: string): string {
  return name.replace(/, \d+ threads?$/, '')
}

export interface Peers {
  readonly subjects: ReadonlyArray<ChildSubject | FastestOf>
  readonly absent: readonly string[]
  readonly versions: Readonly<Record<string, string>>
}

export interface PeerOptions extends Pick<PeftOptions, 'base' | 'prompts' | 'expected'> {
  /** The model file of the base. */
  readonly source: string
  /** Of the benchmarks' own things. */
  readonly folder: string
  readonly sequences: number
  readonly contextSize: number
  readonly threads: number
  readonly say: (line: string) => void
}

/** Each peer that runs here. */
export async function openPeers ({ source, folder, sequences, contextSize, threads, say, ...same }: PeerOptions): Promise<Peers> {
  const subjects: Array<ChildSubject | FastestOf> = []
  const absent: string[] = []
  const python = process.env['PYTHON'] ?? 'python3'
  const counts = [...new Set([1, threads])]
  const llama = async (name: string, file: () => Promise<string>): Promise<void> => {
    if (!source.endsWith('.gguf')) throw new BenchFailure(`${source} is no GGUF file`)
    const module = await llamaModule(folder, say)
    const model = await file()
    for (const count of counts) subjects.push(await openLlama(variantName(name, count), { module, model, sequences, contextSize, threads: count }))
  }
  const peers: ReadonlyArray<readonly [name: string, open: () => Promise<unknown>]> = [
    [LLAMA_AS_SHIPPED, async () => await llama(LLAMA_AS_SHIPPED, async () => source)],
    [LLAMA_Q8, async () => await llama(LLAMA_Q8, async () => await q8File(source, folder, python))],
    [PEFT, async () => subjects.push(await openPeft({ python, threads: counts, ...same }))]
  ]
  for (const [name, open] of peers) {
    try {
      await open()
    } catch (error) {
      if (!(error instanceof BenchFailure)) throw error
      absent.push(`${name}: ${error.message}`)
      say(`without ${name}: ${error.message}`)
    }
  }
  return { subjects, absent, versions: Object.assign({}, ...subjects.map(({ versions }) => versions)) as Record<string, string> }
}

export function benchFolder (home: string): string {
  return join(home, 'bench')
}
