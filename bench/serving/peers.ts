/** Whom the engine is compared with on this machine; who is missing says why. */
import { join } from 'node:path'
import { availableParallelism } from 'node:os'
import { BenchFailure } from '../failure.js'
import { LlamaSubject } from './llama.js'
import { LLAMA_VERSION, llamaModule } from './llama-package.js'
import { q8File } from './q8-file.js'
import type { Subject } from './subject.js'

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

export interface Peers { readonly subjects: readonly Subject[], readonly absent: readonly string[], readonly versions: Readonly<Record<string, string>> }

export interface PeerOptions {
  /** The model file of the base. */
  readonly source: string
  /** Of the benchmarks' own things. */
  readonly folder: string
  readonly sequences: number
  readonly contextSize: number
  /** 0: one for each core. */
  readonly threads: number
  readonly say: (line: string) => void
}

export async function openPeers ({ source, folder, sequences, contextSize, threads, say }: PeerOptions): Promise<Peers> {
  const subjects: Subject[] = []
  const absent: string[] = []
  const files: ReadonlyArray<readonly [name: string, file: () => Promise<string>]> = [
    [LLAMA_AS_SHIPPED, async () => source],
    [LLAMA_Q8, async () => await q8File(source, folder, process.env['PYTHON'] ?? 'python3')]
  ]
  for (const [name, file] of files) {
    try {
      if (!source.endsWith('.gguf')) throw new BenchFailure(`${source} is no GGUF file`)
      const module = await llamaModule(folder, say)
      const model = await file()
      for (const count of new Set([1, threads || availableParallelism()])) {
        subjects.push(await LlamaSubject.open(variantName(name, count), { module, model, sequences, contextSize, threads: count }))
      }
    } catch (error) {
      if (!(error instanceof BenchFailure)) throw error
      absent.push(`${name}: ${error.message}`)
      say(`without ${name}: ${error.message}`)
    }
  }
  return { subjects, absent, versions: subjects.length === 0 ? {} : { 'node-llama-cpp': LLAMA_VERSION } }
}

export function benchFolder (home: string): string {
  return join(home, 'bench')
}
