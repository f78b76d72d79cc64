/**
 * The lanes graph over the arena of an engine. One binding for every pack: its tokens, 15 small tensors, are bound anew each
 * time; a slot, two tensors for each layer, when its lane had another one before.
 */
import { LANES, laneName, pastName, presentName } from '../../graph/serving-contract.js'
import { type Arena, slotLength } from '../arena.js'
import type { EngineOptions, PackInput, StepOutput } from './engine.js'
import { laidOut, NativeMemory } from './native-memory.js'
import { ELEMENT, type OrtLibrary, type Pointer } from './ort-library.js'

/** What the lanes graph shares with the engine, and its session, which is released with it. */
export interface LanesParts {
  readonly ort: OrtLibrary
  readonly session: Pointer
  readonly memoryInfo: Pointer
  readonly arena: Arena
  readonly arenaAddress: bigint
}

/** The slot of lanes that are not used. */
const SPARE = 'spare'

export class Lanes {
  readonly #parts: LanesParts
  readonly #options: EngineOptions
  readonly #io: LanesMemory
  readonly #binding: Pointer
  /** Index = lane: whose slot is bound to it. */
  readonly #slots: Array<number | typeof SPARE | null> = Array.from({ length: LANES }, () => null)

  constructor (parts: LanesParts, options: EngineOptions) {
    this.#parts = parts
    this.#options = options
    this.#io = new LanesMemory(options)
    this.#binding = parts.ort.createIoBinding(parts.session)
    for (let lane = 0; lane < LANES; lane++) {
      this.#bindInput(laneName('seqlens_k', lane), ELEMENT.int32, this.#io.address('seqlens', lane), [1])
      this.#bindInput(laneName('total_seq_len', lane), ELEMENT.int32, this.#io.address('totals', lane), [])
    }
  }

  /** @param input checked */
  async run (input: PackInput, runOptions: Pointer): Promise<StepOutput> {
    const { ort, session } = this.#parts
    const { config: { hiddenSize, vocabSize } } = this.#options
    const io = this.#io
    const inputs = input.inputs.length
    const logitRows = input.logitRows.length
    io.fill(input)
    let tokens = 0
    for (let lane = 0; lane < LANES; lane++) {
      const ids = input.inputs[lane]
      this.#bindSlot(lane, ids === undefined ? SPARE : input.firstSlot + lane)
      this.#bindInput(laneName('lane_rows', lane), ELEMENT.int64, io.address('counting', ids === undefined ? 0 : tokens), [ids?.length ?? 1])
      tokens += ids?.length ?? 0
    }
    this.#bindInput('input_ids', ELEMENT.int64, io.address('ids'), [tokens])
    this.#bindInput('used_rows', ELEMENT.int64, io.address('counting'), [tokens])
    this.#bindInput('hidden_rows', ELEMENT.int64, io.address('hiddenRows'), [inputs])
    this.#bindInput('logit_rows', ELEMENT.int64, io.address('logitRows'), [logitRows])
    this.#bindOutput('hidden', io.address('hidden'), [inputs, hiddenSize])
    this.#bindOutput('logits', io.address('logits'), [logitRows, vocabSize])
    await ort.runWithBinding(session, runOptions, this.#binding)
    return { hidden: io.hidden.subarray(0, inputs * hiddenSize), logits: io.logits.subarray(0, logitRows * vocabSize) }
  }

  release (): void {
    const { ort, session } = this.#parts
    ort.release.ioBinding(this.#binding)
    ort.release.session(session)
    this.#io.release()
  }

  #bindSlot (lane: number, slot: number | typeof SPARE): void {
    if (this.#slots[lane] === slot) return
    const { arena: { shape, parts }, arenaAddress } = this.#parts
    this.#slots[lane] = null // until all of it is bound
    for (const part of parts.keys()) {
      const kind = part % 2 === 0 ? 'k' : 'v'
      const address = slot === SPARE ? this.#io.address('spare') : arenaAddress + BigInt((part * shape.slots + slot) * slotLength(shape) * 4)
      const dims = [1, shape.kvHeads, slot === SPARE ? 1 : shape.positions, shape.headSize]
      this.#bindInput(laneName(pastName(kind, part >> 1), lane), ELEMENT.float32, address, dims)
      this.#bindOutput(laneName(presentName(kind, part >> 1), lane), address, dims)
    }
    this.#slots[lane] = slot
  }

  /** In place of what was bound to the name before. */
  #bindInput (name: string, element: number, address: bigint, dims: readonly number[]): void {
    this.#withTensor(element, address, dims, value => this.#parts.ort.bindInput(this.#binding, name, value))
  }

  #bindOutput (name: string, address: bigint, dims: readonly number[]): void {
    this.#withTensor(ELEMENT.float32, address, dims, value => this.#parts.ort.bindOutput(this.#binding, name, value))
  }

  /** A binding keeps what it needs of a value. */
  #withTensor (element: number, address: bigint, dims: readonly number[], bind: (value: Pointer) => void): void {
    const { ort, memoryInfo } = this.#parts
    const value = ort.createTensor(memoryInfo, element, address, dims)
    try {
      bind(value)
    } finally {
      ort.release.value(value)
    }
  }
}

const REGIONS = ['ids', 'counting', 'hiddenRows', 'logitRows', 'seqlens', 'totals', 'spare', 'hidden', 'logits'] as const
type Region = typeof REGIONS[number]

const NUMBER_BYTES: Readonly<Record<Region, number>> = { ids: 8, counting: 8, hiddenRows: 8, logitRows: 8, seqlens: 4, totals: 4, spare: 4, hidden: 4, logits: 4 }

/** Inputs and outputs of every pack. */
class LanesMemory {
  readonly hidden: Float32Array
  readonly logits: Float32Array
  readonly #memory: NativeMemory
  readonly #offsets: Readonly<Record<Region, number>>
  /** Numbers of 64 bits as two of 32, the lower one first: none is negative, so the upper one stays zero. */
  readonly #ids: Int32Array
  readonly #hiddenRows: Int32Array
  readonly #logitRows: Int32Array
  readonly #seqlens: Int32Array
  readonly #totals: Int32Array

  constructor ({ config, positions }: EngineOptions) {
    const tokens = LANES * positions
    const numbers: Record<Region, number> = {
      ids: tokens, counting: tokens, hiddenRows: LANES, logitRows: LANES, seqlens: LANES, totals: LANES,
      spare: config.numKvHeads * config.headSize, hidden: LANES * config.hiddenSize, logits: LANES * config.vocabSize
    }
    const bytes = { ...numbers }
    for (const region of REGIONS) bytes[region] *= NUMBER_BYTES[region]
    const { offsets, end } = laidOut(REGIONS, bytes)
    const memory = new NativeMemory(end)
    this.#memory = memory
    this.#offsets = offsets
    const ints = (region: Region): Int32Array => memory.ints(offsets[region], bytes[region] / 4)
    this.#ids = ints('ids')
    this.#hiddenRows = ints('hiddenRows')
    this.#logitRows = ints('logitRows')
    this.#seqlens = ints('seqlens')
    this.#totals = ints('totals')
    this.hidden = memory.floats(offsets.hidden, numbers.hidden)
    this.logits = memory.floats(offsets.logits, numbers.logits)
    const counting = ints('counting')
    for (let row = 0; row < tokens; row++) counting[2 * row] = row
  }

  /** @param index of a number */
  address (region: Region, index = 0): bigint {
    return this.#memory.pointer + BigInt(this.#offsets[region] + index * NUMBER_BYTES[region])
  }

  fill ({ inputs, lengths, logitRows }: PackInput): void {
    let tokens = 0
    for (let lane = 0; lane < LANES; lane++) {
      for (const id of inputs[lane] ?? []) this.#ids[2 * tokens++] = id
      this.#hiddenRows[2 * lane] = Math.max(0, tokens - 1)
      this.#totals[lane] = lengths[lane] ?? 1
      this.#seqlens[lane] = this.#totals[lane]! - 1
    }
    for (const [i, row] of logitRows.entries()) this.#logitRows[2 * i] = row
  }

  release (): void {
    this.#memory.release()
  }
}
