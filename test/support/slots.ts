import { type InferenceSession, Tensor } from 'onnxruntime-node'
import { pastName, presentName } from '../../src/graph/serving-contract.js'
import type { LlamaConfig } from '../../src/model/llama-config.js'

export interface Step {
  /** First slot of the batch. */
  readonly slot?: number
  /** [B][S] */
  readonly ids: readonly (readonly number[])[]
  /** Length of each row after this step. */
  readonly lengths: readonly number[]
  /** Flat rows that pass the last norm; all by default. */
  readonly hiddenRows?: readonly number[]
  /** Indices into `hiddenRows`; all by default. */
  readonly logitRows?: readonly number[]
  /** [rows, hidden]; one row of zeros by default. */
  readonly softTable?: Float32Array
}

const int64 = (values: readonly number[], dims: number[]): Tensor => new Tensor('int64', BigInt64Array.from(values, BigInt), dims)

/** A serving session with an arena of slots, through the stock binding: past and present are the same views of the arena. */
export class Slots {
  readonly arena: Readonly<Record<string, Float32Array>>
  readonly #session: InferenceSession
  readonly #config: LlamaConfig
  readonly #positions: number

  constructor (session: InferenceSession, config: LlamaConfig, { slots, positions, fill = 0 }: { slots: number, positions: number, fill?: number }) {
    this.#session = session
    this.#config = config
    this.#positions = positions
    const names = Array.from({ length: config.numLayers }, (_, layer) => [`k_${layer}`, `v_${layer}`]).flat()
    this.arena = Object.fromEntries(names.map(name => [name, new Float32Array(slots * this.slotSize).fill(fill)]))
  }

  get slotSize (): number { return this.#config.numKvHeads * this.#positions * this.#config.headSize }

  async run ({ slot = 0, ids, lengths, hiddenRows, logitRows, softTable }: Step): Promise<{ hidden: Float32Array, logits: Float32Array }> {
    const { numLayers, numKvHeads, headSize, hiddenSize } = this.#config
    const [B, S] = [ids.length, ids[0]!.length]
    const rows = hiddenRows ?? Array.from({ length: B * S }, (_, i) => i)
    const wanted = logitRows ?? rows.map((_, i) => i)
    const soft = softTable ?? new Float32Array(hiddenSize)
    const feeds: Record<string, Tensor> = {
      input_ids: int64(ids.flat(), [B, S]),
      soft_table: new Tensor('float32', soft, [soft.length / hiddenSize, hiddenSize]),
      seqlens_k: new Tensor('int32', Int32Array.from(lengths, length => length - 1), [B]),
      total_seq_len: new Tensor('int32', Int32Array.of(Math.max(...lengths)), []),
      hidden_rows: int64(rows, [rows.length]),
      logit_rows: int64(wanted, [wanted.length])
    }
    const fetches: Record<string, Tensor | null> = { hidden: null, logits: null }
    for (let layer = 0; layer < numLayers; layer++) {
      for (const part of ['k', 'v'] as const) {
        const view = this.arena[`${part}_${layer}`]!.subarray(slot * this.slotSize, (slot + B) * this.slotSize)
        const tensor = new Tensor('float32', view, [B, numKvHeads, this.#positions, headSize])
        feeds[pastName(part, layer)] = tensor
        fetches[presentName(part, layer)] = tensor
      }
    }
    const outputs = await this.#session.run(feeds, fetches)
    return { hidden: outputs['hidden']!.data as Float32Array, logits: outputs['logits']!.data as Float32Array }
  }
}
