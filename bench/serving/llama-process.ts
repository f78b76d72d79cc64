/** The process that runs one file with node-llama-cpp's public API; `llama.ts` starts it and says what to run. */
import type { Reply } from './child-subject.js'
import { LLAMA_VERSION } from './llama-package.js'
import type { Load, Run } from './subject.js'

/** What is used of the package, which is no dependency and so brings no types. */
interface LlamaSequence {
  clearHistory (): Promise<void>
  evaluateWithoutGeneratingNewTokens (tokens: readonly number[]): Promise<void>
  evaluate (tokens: readonly number[], options: { temperature: number, yieldEogToken: boolean }): AsyncIterable<number>
}
interface LlamaContext { getSequence (): LlamaSequence }
interface LlamaModel { createContext (options: { sequences: number, contextSize: number, batchSize: number, threads: number, flashAttention: boolean }): Promise<LlamaContext> }
interface Llama { loadModel (options: { modelPath: string, gpuLayers: number }): Promise<LlamaModel> }
interface LlamaPackage { getLlama (options: { gpu: false, build: 'never', skipDownload: boolean, logLevel: 'error', maxThreads: number }): Promise<Llama> }

export interface Settings { readonly module: string, readonly model: string, readonly sequences: number, readonly contextSize: number, readonly threads: number }

const BATCH = 512

async function open ({ module, model, sequences, contextSize, threads }: Settings): Promise<LlamaSequence[]> {
  const { getLlama } = await import(module) as LlamaPackage
  // With 0 as the most it takes what each context asks for.
  const llama = await getLlama({ gpu: false, build: 'never', skipDownload: true, logLevel: 'error', maxThreads: 0 })
  const loaded = await llama.loadModel({ modelPath: model, gpuLayers: 0 })
  const context = await loaded.createContext({ sequences, contextSize, batchSize: BATCH, threads, flashAttention: true })
  return Array.from({ length: sequences }, () => context.getSequence())
}

/** What stands for a prompt is in each sequence before the clock starts, as a warm prompt is. */
async function run (sequences: readonly LlamaSequence[], { rows, maxTokens }: Load): Promise<Run> {
  for (const [index, { context }] of rows.entries()) {
    await sequences[index]!.clearHistory()
    await sequences[index]!.evaluateWithoutGeneratingNewTokens(context)
  }
  const begunAt = performance.now()
  const answers = await Promise.all(rows.map(async ({ input }, index) => {
    const times: number[] = []
    const ids: number[] = []
    for await (const id of sequences[index]!.evaluate(input, { temperature: 0, yieldEogToken: true })) {
      times.push(performance.now())
      ids.push(id)
      if (times.length === maxTokens) break
    }
    return { times, ids }
  }))
  return { begunAt, tokens: answers.map(({ times }) => times), ids: answers.map(({ ids }) => ids) }
}

function reply (message: Reply): void {
  process.send!(message)
}

const settings = JSON.parse(process.argv[2]!) as Settings
try {
  const sequences = await open(settings)
  process.on('message', (load: Load) => {
    run(sequences, load).then(run => reply({ run }), (error: unknown) => reply({ error: String(error) }))
  })
  reply({ ready: true, versions: { 'node-llama-cpp': LLAMA_VERSION } })
} catch (error) {
  reply({ error: String(error) })
}
// Threads of the package would keep the process.
process.on('disconnect', () => process.exit(0))
