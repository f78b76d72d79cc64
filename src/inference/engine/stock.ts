/**
 * The fallback where koffi or the library cannot be loaded: onnxruntime-node as documented. Correct, but its `run`
 * copies every output, the whole cache included, and occupies the thread while it runs.
 */
import type { InferenceSession, Tensor } from 'onnxruntime-node'
import { presentName, pastName } from '../../graph/serving-contract.js'
import { Arena, slotLength, type ArenaShape } from '../arena.js'
import { checkStep, type Engine, type EngineOptions, type StepInput, type StepOutput } from './engine.js'

type TensorClass = typeof Tensor

export class StockEngine implements Engine {
  readonly kind = 'stock'
  readonly pack = null
  readonly arena: Arena
  readonly #options: EngineOptions
  readonly #session: InferenceSession
  readonly #Tensor: TensorClass
  readonly #noVirtualTokens: Float32Array
  #running: Promise<unknown> | null = null
  #closed = false

  private constructor (options: EngineOptions, session: InferenceSession, TensorOf: TensorClass) {
    const { config, slots, positions } = options
    const shape: ArenaShape = { layers: config.numLayers, slots, kvHeads: config.numKvHeads, positions, headSize: config.headSize }
    this.#options = options
    this.#session = session
    this.#Tensor = TensorOf
    this.#noVirtualTokens = new Float32Array(config.hiddenSize)
    this.arena = new Arena(shape, Array.from({ length: config.numLayers * 2 }, () => new Float32Array(slots * slotLength(shape))))
  }

  /** @throws Error when the binding or the graph cannot be loaded */
  static async open (options: EngineOptions): Promise<StockEngine> {
    // Not at the top: a process that runs the other engine never loads the binding.
    const { default: ort } = await import('onnxruntime-node')
    const session = await ort.InferenceSession.create(options.file, { intraOpNumThreads: options.threads, interOpNumThreads: 1, executionMode: 'sequential', graphOptimizationLevel: 'all' })
    return new StockEngine(options, session, ort.Tensor)
  }

  async step (input: StepInput): Promise<StepOutput> {
    if (this.#closed) throw new Error('internal: the engine is closed')
    if (this.#running !== null) throw new Error('internal: two steps at once')
    const length = checkStep(input, this.#options)
    const { config, positions } = this.#options
    const { rows, firstSlot } = input
    const TensorOf = this.#Tensor
    const longs = (values: ArrayLike<number>, dims: number[]): Tensor => new TensorOf('int64', BigInt64Array.from(Array.from(values), BigInt), dims)
    const softTable = input.softTable ?? this.#noVirtualTokens
    const feeds: Record<string, Tensor> = {
      input_ids: longs(input.ids, [rows, length]),
      soft_table: new TensorOf('float32', softTable, [softTable.length / config.hiddenSize, config.hiddenSize]),
      seqlens_k: new TensorOf('int32', Int32Array.from(input.lengths, total => total - 1), [rows]),
      total_seq_len: new TensorOf('int32', Int32Array.of(Math.max(...Array.from(input.lengths))), []),
      hidden_rows: longs(input.hiddenRows, [input.hiddenRows.length]),
      logit_rows: longs(input.logitRows, [input.logitRows.length])
    }
    const fetches: Record<string, Tensor | null> = { hidden: null, logits: null }
    const size = slotLength(this.arena.shape)
    for (const [part, memory] of this.arena.parts.entries()) {
      // The same tensor goes in and out, so that the kernel updates the cache in place.
      const cache = new TensorOf('float32', memory.subarray(firstSlot * size, (firstSlot + rows) * size), [rows, config.numKvHeads, positions, config.headSize])
      const kind = part % 2 === 0 ? 'k' : 'v'
      feeds[pastName(kind, part >> 1)] = cache
      fetches[presentName(kind, part >> 1)] = cache
    }
    const run = this.#session.run(feeds, fetches)
    this.#running = run
    try {
      const { hidden, logits } = await run
      return { hidden: hidden!.data as Float32Array, logits: logits!.data as Float32Array }
    } finally {
      this.#running = null
    }
  }

  /** Typed arrays: what was never touched costs nothing here either, but what was stays. */
  giveBack (): void {}

  async close (): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    await this.#running?.catch(() => {})
    await this.#session.release()
  }
}
