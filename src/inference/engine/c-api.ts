/**
 * The engine proper: past and present of a step are the same memory (so kernels update the cache in place), inputs and
 * outputs are bound once for each shape, and a run blocks a pool thread instead of the event loop.
 */
import { presentName, pastName } from '../../graph/serving-contract.js'
import { Arena, arenaBytes, slotLength, type ArenaShape } from '../arena.js'
import { checkPack, checkStep, maxHiddenRows, type Engine, type EngineOptions, type PackInput, type StepInput, type StepOutput } from './engine.js'
import { Lanes } from './lanes.js'
import { laidOut, NativeMemory } from './native-memory.js'
import { ELEMENT, OrtLibrary, type Pointer } from './ort-library.js'

/** Shapes whose bindings are kept; one costs some 0.3 ms to make and a few kB for each layer. */
const MAX_BINDINGS = 128
// As fast as spinning without end, and a worker thread burns no CPU 0.2 ms after a step.
const SESSION_ENTRIES = { 'session.intra_op.spin_duration_us': '200' }

interface Shape { readonly firstSlot: number, readonly rows: number, readonly length: number, readonly hiddenRows: number, readonly logitRows: number, readonly softRows: number }
interface BoundMemory { readonly handle: Pointer, readonly values: readonly Pointer[] }
interface Binding extends BoundMemory { readonly shape: Shape, readonly output: StepOutput }

let library: OrtLibrary | undefined

/** Loaded once for the process. @throws Error when it cannot be loaded or is not the pinned version */
export function ortLibrary (): OrtLibrary {
  return library ??= new OrtLibrary()
}

export class CApiEngine implements Engine {
  readonly kind = 'c-api'
  readonly arena: Arena
  readonly pack: Engine['pack']
  readonly #options: EngineOptions
  readonly #ort: OrtLibrary
  readonly #env: Pointer
  readonly #memoryInfo: Pointer
  readonly #runOptions: Pointer
  readonly #session: Pointer
  readonly #lanes: Lanes | null
  readonly #arenaMemory: NativeMemory
  readonly #io: IoMemory
  /** Most recently used first: the one of the last decode step is found at once, without making a key. */
  readonly #bindings: Binding[] = []
  #running: Promise<unknown> | null = null
  #closed = false

  private constructor (options: EngineOptions, env: Pointer, session: Pointer, lanesSession: Pointer) {
    const { config, slots, positions } = options
    this.#options = options
    this.#ort = ortLibrary()
    this.#env = env
    this.#session = session
    this.#memoryInfo = this.#ort.createCpuMemoryInfo()
    this.#runOptions = this.#ort.createRunOptions()
    const shape: ArenaShape = { layers: config.numLayers, slots, kvHeads: config.numKvHeads, positions, headSize: config.headSize }
    this.#arenaMemory = new NativeMemory(arenaBytes(shape))
    const partLength = slots * slotLength(shape)
    this.arena = new Arena(shape, Array.from({ length: config.numLayers * 2 }, (_, part) => this.#arenaMemory.floats(part * partLength * 4, partLength)))
    this.#io = new IoMemory(options)
    const lanes = lanesSession === null ? null : new Lanes({ ort: this.#ort, session: lanesSession, memoryInfo: this.#memoryInfo, arena: this.arena, arenaAddress: this.#arenaMemory.pointer }, options)
    this.#lanes = lanes
    this.pack = lanes === null ? null : async input => await this.#pack(lanes, input)
  }

  /** Loads the graphs off the event loop. @throws Error when the library, a graph or the memory is not there */
  static async open (options: EngineOptions): Promise<CApiEngine> {
    const ort = ortLibrary()
    const env = ort.createEnv('permafrost')
    let session: Pointer = null
    try {
      session = await ort.createSession(env, options.file, options.threads, SESSION_ENTRIES)
      const lanes = options.lanesFile === undefined ? null : await ort.createSession(env, options.lanesFile, options.threads, SESSION_ENTRIES)
      return new CApiEngine(options, env, session, lanes)
    } catch (error) {
      if (session !== null) ort.release.session(session)
      ort.release.env(env)
      throw error
    }
  }

  async step (input: StepInput): Promise<StepOutput> {
    this.#checkFree()
    const length = checkStep(input, this.#options)
    this.#io.fill(input)
    const binding = this.#bindingFor(input, length)
    this.#running = this.#ort.runWithBinding(this.#session, this.#runOptions, binding.handle)
    try {
      await this.#running
    } finally {
      this.#running = null
    }
    return binding.output
  }

  async #pack (lanes: Lanes, input: PackInput): Promise<StepOutput> {
    this.#checkFree()
    checkPack(input, this.#options)
    const running = lanes.run(input, this.#runOptions)
    this.#running = running
    try {
      return await running
    } finally {
      this.#running = null
    }
  }

  #checkFree (): void {
    if (this.#closed) throw new Error('internal: the engine is closed')
    if (this.#running !== null) throw new Error('internal: two steps at once')
  }

  giveBack (from: number, to: number): void {
    const { shape } = this.arena
    const slotBytes = slotLength(shape) * 4
    for (let part = 0; part < shape.layers * 2; part++) this.#arenaMemory.giveBack((part * shape.slots + from) * slotBytes, (to - from) * slotBytes)
  }

  async close (): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    await this.#running?.catch(() => {})
    for (const binding of this.#bindings.splice(0)) this.#releaseBinding(binding)
    this.#lanes?.release()
    const { release } = this.#ort
    release.session(this.#session)
    release.runOptions(this.#runOptions)
    release.memoryInfo(this.#memoryInfo)
    release.env(this.#env)
    this.#io.release()
    this.#arenaMemory.release()
  }

  #bindingFor (input: StepInput, length: number): Binding {
    const { firstSlot, rows } = input
    const hiddenRows = input.hiddenRows.length
    const logitRows = input.logitRows.length
    const softRows = input.softTable === undefined ? 1 : input.softTable.length / this.#options.config.hiddenSize
    let place = 0
    for (; place < this.#bindings.length; place++) {
      const { shape } = this.#bindings[place]!
      if (shape.rows === rows && shape.length === length && shape.firstSlot === firstSlot && shape.hiddenRows === hiddenRows && shape.logitRows === logitRows && shape.softRows === softRows) break
    }
    const binding = this.#bindings[place] ?? this.#bind({ firstSlot, rows, length, hiddenRows, logitRows, softRows })
    for (; place > 0; place--) this.#bindings[place] = this.#bindings[place - 1]!
    this.#bindings[0] = binding
    if (this.#bindings.length > MAX_BINDINGS) this.#releaseBinding(this.#bindings.pop()!)
    return binding
  }

  #bind (shape: Shape): Binding {
    const { firstSlot, rows, length, hiddenRows, logitRows, softRows } = shape
    const { config, slots, positions } = this.#options
    const io = this.#io
    const values: Pointer[] = []
    const handle = this.#ort.createIoBinding(this.#session)
    const tensor = (element: number, data: bigint, dims: readonly number[]): Pointer => {
      const value = this.#ort.createTensor(this.#memoryInfo, element, data, dims)
      values.push(value)
      return value
    }
    try {
      this.#ort.bindInput(handle, 'input_ids', tensor(ELEMENT.int64, io.address('ids'), [rows, length]))
      this.#ort.bindInput(handle, 'soft_table', tensor(ELEMENT.float32, io.address('softTable'), [softRows, config.hiddenSize]))
      this.#ort.bindInput(handle, 'seqlens_k', tensor(ELEMENT.int32, io.address('lengths'), [rows]))
      this.#ort.bindInput(handle, 'total_seq_len', tensor(ELEMENT.int32, io.address('total'), []))
      this.#ort.bindInput(handle, 'hidden_rows', tensor(ELEMENT.int64, io.address('hiddenRows'), [hiddenRows]))
      this.#ort.bindInput(handle, 'logit_rows', tensor(ELEMENT.int64, io.address('logitRows'), [logitRows]))
      this.#ort.bindOutput(handle, 'hidden', tensor(ELEMENT.float32, io.address('hidden'), [hiddenRows, config.hiddenSize]))
      this.#ort.bindOutput(handle, 'logits', tensor(ELEMENT.float32, io.address('logits'), [logitRows, config.vocabSize]))
      for (let part = 0; part < config.numLayers * 2; part++) {
        const offset = (part * slots + firstSlot) * slotLength(this.arena.shape) * 4
        const cache = tensor(ELEMENT.float32, this.#arenaMemory.pointer + BigInt(offset), [rows, config.numKvHeads, positions, config.headSize])
        const layer = part >> 1
        const kind = part % 2 === 0 ? 'k' : 'v'
        this.#ort.bindInput(handle, pastName(kind, layer), cache)
        this.#ort.bindOutput(handle, presentName(kind, layer), cache)
      }
    } catch (error) {
      this.#releaseBinding({ handle, values })
      throw error
    }
    return { handle, values, shape, output: { hidden: io.hidden.subarray(0, hiddenRows * config.hiddenSize), logits: io.logits.subarray(0, logitRows * config.vocabSize) } }
  }

  #releaseBinding ({ handle, values }: BoundMemory): void {
    this.#ort.release.ioBinding(handle)
    for (const value of values) this.#ort.release.value(value)
  }
}

const REGIONS = ['ids', 'lengths', 'total', 'hiddenRows', 'logitRows', 'softTable', 'hidden', 'logits'] as const
type Region = typeof REGIONS[number]

/** One block for the inputs and outputs of every shape: steps follow one another, so shapes may share it. */
class IoMemory {
  readonly hidden: Float32Array
  readonly logits: Float32Array
  readonly #memory: NativeMemory
  readonly #offsets: Readonly<Record<Region, number>>
  /** Numbers of 64 bits as two of 32, the lower one first: none is negative, so the upper one stays zero. */
  readonly #ids: Int32Array
  readonly #lengths: Int32Array
  readonly #total: Int32Array
  readonly #hiddenRows: Int32Array
  readonly #logitRows: Int32Array
  readonly #softTable: Float32Array

  constructor (options: EngineOptions) {
    const { config, slots, positions } = options
    const outputs = maxHiddenRows(options)
    const bytes: Record<Region, number> = {
      ids: Math.max(slots, positions) * 8, lengths: slots * 4, total: 4, hiddenRows: outputs * 8, logitRows: outputs * 8,
      softTable: positions * config.hiddenSize * 4, hidden: outputs * config.hiddenSize * 4, logits: outputs * config.vocabSize * 4
    }
    const { offsets, end } = laidOut(REGIONS, bytes)
    const memory = new NativeMemory(end)
    this.#memory = memory
    this.#offsets = offsets
    this.#ids = memory.ints(offsets.ids, bytes.ids / 4)
    this.#lengths = memory.ints(offsets.lengths, bytes.lengths / 4)
    this.#total = memory.ints(offsets.total, 1)
    this.#hiddenRows = memory.ints(offsets.hiddenRows, bytes.hiddenRows / 4)
    this.#logitRows = memory.ints(offsets.logitRows, bytes.logitRows / 4)
    this.#softTable = memory.floats(offsets.softTable, bytes.softTable / 4)
    this.hidden = memory.floats(offsets.hidden, bytes.hidden / 4)
    this.logits = memory.floats(offsets.logits, bytes.logits / 4)
  }

  address (region: Region): bigint {
    return this.#memory.pointer + BigInt(this.#offsets[region])
  }

  fill (input: StepInput): void {
    let total = 0
    for (let i = 0; i < input.ids.length; i++) this.#ids[2 * i] = input.ids[i]!
    for (let row = 0; row < input.rows; row++) {
      this.#lengths[row] = input.lengths[row]! - 1
      total = Math.max(total, input.lengths[row]!)
    }
    this.#total[0] = total
    for (let i = 0; i < input.hiddenRows.length; i++) this.#hiddenRows[2 * i] = input.hiddenRows[i]!
    for (let i = 0; i < input.logitRows.length; i++) this.#logitRows[2 * i] = input.logitRows[i]!
    if (input.softTable !== undefined) this.#softTable.set(input.softTable)
  }

  release (): void {
    this.#memory.release()
  }
}
