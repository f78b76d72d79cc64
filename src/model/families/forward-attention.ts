/**
 * Attention of forward-only graphs. B sequences of S new tokens each, T positions of a cache, H heads over KH key/value
 * heads of size D, G = H / KH.
 */
import type { GraphBuilder } from '../../graph/builder.js'
import { type Dim, product } from '../../graph/dims.js'
import type { Value } from '../../graph/ir.js'
import { LANES, laneName, pastName, presentName } from '../../graph/serving-contract.js'
import type { LlamaConfig } from '../llama-config.js'
import { ropeTables } from './rope-tables.js'
import { type Rows, joined, settled } from './rows.js'

/** Rotates and attends: rows [B·S, H·D] and twice [B·S, KH·D] -> [B·S, H·D]. */
export type ForwardAttention = (q: Rows, k: Rows, v: Rows, layer: number) => Value

/** What the serving graph gives its attention. */
export interface CacheInputs {
  /** int64 [B,S]; only its shape is read. */
  readonly ids: Value
  /** int32 [B]: length after this step, minus 1. */
  readonly seqlensK: Value
  /** int32 scalar */
  readonly totalSequenceLength: Value
  /** Per layer float32 [B,KH,T,D]. */
  readonly pastKeys: readonly Value[]
  readonly pastValues: readonly Value[]
}

/** What the lanes graph gives its attention; names as in the contract. */
export interface LanesInputs {
  /** Of each lane, B = 1; `rows` int64 [Sj]. */
  readonly lanes: ReadonlyArray<Omit<CacheInputs, 'ids'> & { readonly rows: Value }>
  /** int64 [S] */
  readonly usedRows: Value
}

interface Rotation { readonly cos: Value, readonly sin: Value }

function rotationTables (b: GraphBuilder, config: LlamaConfig, maxPositions: number): Rotation {
  const { cos, sin } = ropeTables(config, maxPositions)
  const shape = [maxPositions, config.headSize / 2]
  return { cos: b.constant('float32', shape, cos), sin: b.constant('float32', shape, sin) }
}

/** Reshapes by the run-time shape [B,S] of the ids. */
interface Sequences {
  /** [B·S, W] as [B,S,W] */
  sequences (rows: Value): Value
  /** Rows of B·S·(product of dims) numbers as [B,S,...dims]. */
  split (rows: Value, ...dims: readonly number[]): Value
}

function sequencesOf (b: GraphBuilder, ids: Value): Sequences {
  const [B, S] = ids.shape as readonly [Dim, Dim]
  const shape = b.op('Shape', [ids], { start: 0, end: 2 })
  // One shape tensor for all layers.
  const targets = new Map<string, Value>()
  const split = (rows: Value, ...dims: readonly number[]): Value => {
    const target = targets.get(dims.join()) ?? b.op('Concat', [shape, b.integers(...dims)], { axis: 0 })
    targets.set(dims.join(), target)
    return b.reshape(rows, [B, S, ...dims], target)
  }
  return { sequences: rows => split(rows, rows.shape[1] as number), split }
}

/** [B,S,W] as [B·S, W] */
function asRows (b: GraphBuilder, x: Value): Value { return b.reshape(x, [product(x.shape[0]!, x.shape[1]!), x.shape[2]!]) }

/** One kernel that rotates, writes the cache in place and attends; the head size must be a multiple of 16. */
export function fusedAttention (b: GraphBuilder, config: LlamaConfig, maxPositions: number, cache: CacheInputs): ForwardAttention {
  const rotation = rotationTables(b, config, maxPositions)
  const { sequences } = sequencesOf(b, cache.ids)
  return (q, k, v, layer) => {
    const packed = joined(b, [q, k, v])
    const rows: AttentionRows = packed === null
      ? [sequences(settled(b, q)), sequences(settled(b, k)), sequences(settled(b, v))]
      : [sequences(packed), null, null]
    return asRows(b, groupQueryAttention(b, config, rotation, rows, cache, layer, name => name))
  }
}

/**
 * The fused kernel once for each lane, over its tokens and in its slot, so that a row meets the kernels and the numbers
 * that it meets alone. Queries, keys and values have to be one product.
 */
export function laneAttention (b: GraphBuilder, config: LlamaConfig, maxPositions: number, { lanes, usedRows }: LanesInputs): ForwardAttention {
  const rotation = rotationTables(b, config, maxPositions)
  return (q, k, v, layer) => {
    const packed = joined(b, [q, k, v])
    if (packed === null) throw new Error('internal: lanes of queries, keys and values that are apart')
    const attended = lanes.map((cache, lane) =>
      groupQueryAttention(b, config, rotation, [b.unsqueeze(b.gather(packed, cache.rows), 0), null, null], cache, layer, name => laneName(name, lane)))
    const all = b.op('Concat', attended, { axis: 1 }, { shape: [1, 'lanes', config.numHeads * config.headSize] })
    return b.gather(asRows(b, all), usedRows)
  }
}

/** [B,S,W] each; where the first is all three side by side the others are null. */
type AttentionRows = readonly [query: Value, key: Value | null, value: Value | null]

/** [B,S,H·D]; what the cache holds afterwards becomes outputs. */
function groupQueryAttention (b: GraphBuilder, { numHeads, numKvHeads, headSize }: LlamaConfig, { cos, sin }: Rotation, rows: AttentionRows, cache: Omit<CacheInputs, 'ids'>, layer: number, named: (name: string) => string): Value {
  const [attended, presentKey, presentValue] = b.node('GroupQueryAttention', [
    ...rows, cache.pastKeys[layer]!, cache.pastValues[layer]!, cache.seqlensK, cache.totalSequenceLength, cos, sin
  ], { num_heads: numHeads, kv_num_heads: numKvHeads, do_rotary: 1, rotary_interleaved: 0, scale: headSize ** -0.5 }, { names: [undefined, named(presentName('k', layer)), named(presentName('v', layer))] })
  b.output(presentKey)
  b.output(presentValue)
  return attended
}

/** Softmax over the positions a query may see: q [B,S,H·D], keys and values [B,KH,T,D], `visible` bool [B,1,1,S,T] or what broadcasts to it. */
function attend (b: GraphBuilder, { numHeads, numKvHeads, headSize }: LlamaConfig, { split }: Sequences, q: Value, keys: Value, values: Value, visible: Value): Value {
  const group = numHeads / numKvHeads
  // Copied where one head is for all: MatMul folds the heads of a single row into one product when their other side is the
  // same, and that product rounds otherwise than those of the same row in a batch.
  const forGroup = (heads: Value): Value => {
    const shared = b.unsqueeze(heads, 2)
    return numKvHeads > 1 || group === 1 ? shared : b.op('Expand', [shared, b.integers(1, 1, group, 1, 1)], {}, { shape: shared.shape.map((dim, axis) => axis === 2 ? group : dim) })
  }
  const queries = b.transpose(split(q, numKvHeads, group, headSize), 0, 2, 3, 1, 4)
  const scores = b.matmul(queries, forGroup(keys), { transB: true, alpha: headSize ** -0.5 })
  // Where, not an added mask: what a slot held before must not reach the sum, however large it is.
  const probabilities = b.op('Softmax', [b.op('Where', [visible, scores, b.scalar(-1e9)], {})], { axis: -1 })
  const attended = b.transpose(b.matmul(probabilities, forGroup(values)), 0, 3, 1, 2, 4)
  return b.reshape(attended, [product(attended.shape[0]!, attended.shape[1]!), numHeads * headSize])
}

/** 0, 1, ... below the size of one axis of `x`. */
function countTo (b: GraphBuilder, x: Value, axis: number, name: Dim): Value {
  const size = b.squeeze(b.op('Shape', [x], { start: axis, end: axis + 1 }), 0)
  return b.op('Range', [b.integer(0), size, b.integer(1)], {}, { shape: [name] })
}

/** Rows [B·S, heads·D] rotated by positions int64 [B,S], as [B,S,heads·D]. */
function rotate (b: GraphBuilder, { sequences }: Sequences, rows: Value, heads: number, positions: Value, { cos, sin }: Rotation): Value {
  return b.op('RotaryEmbedding', [sequences(rows), positions, cos, sin], { interleaved: 0, num_heads: heads })
}

/**
 * The same from ordinary operators, for any head size, any B and S. Softmax runs over the whole slot, never over the
 * longest row of the batch: the bits of a row must not depend on its neighbours.
 */
export function plainAttention (b: GraphBuilder, config: LlamaConfig, maxPositions: number, cache: CacheInputs): ForwardAttention {
  const { numHeads, numKvHeads, headSize } = config
  const rotation = rotationTables(b, config, maxPositions)
  const reshapes = sequencesOf(b, cache.ids)
  // The S new tokens take the last positions of their row: seqlens_k + 1 - S + s.
  const steps = countTo(b, cache.ids, 1, 'S')
  const first = b.sub(b.add(b.op('Cast', [cache.seqlensK], { to: 'int64' }), b.integer(1)), b.op('Shape', [cache.ids], { start: 1, end: 2 }))
  const positions = b.add(b.unsqueeze(first, 1), steps)
  const visible = b.unsqueeze(b.op('LessOrEqual', [countTo(b, cache.pastKeys[0]!, 2, 'T'), b.unsqueeze(positions, 2)], {}), 1, 2)

  // Where [B,S,KH,D] lands in a slot [B,KH,T,D]: (b, head, position) for each.
  const indexShape = b.op('Concat', [b.op('Shape', [cache.ids], { start: 0, end: 2 }), b.integers(numKvHeads, 1)], { axis: 0 })
  const index = (values: Value): Value => b.op('Expand', [values, indexShape], {}, { shape: ['B', 'S', numKvHeads, 1] })
  const heads = b.constant('int64', [1, 1, numKvHeads, 1], BigInt64Array.from({ length: numKvHeads }, (_, h) => BigInt(h)))
  const places = b.op('Concat', [
    index(b.unsqueeze(countTo(b, cache.ids, 0, 'B'), 1, 2, 3)), index(heads), index(b.unsqueeze(positions, 2, 3))
  ], { axis: 3 })

  return (q, k, v, layer) => {
    // ScatterND works in place when past and present are the same memory, as serving binds them.
    const write = (part: 'k' | 'v', past: Value, rows: Value): Value => {
      const present = b.op('ScatterND', [past, places, reshapes.split(rows, numKvHeads, headSize)], { reduction: 'none' }, { names: [presentName(part, layer)] })
      b.output(present)
      return present
    }
    const query = rotate(b, reshapes, settled(b, q), numHeads, positions, rotation)
    const keys = write('k', cache.pastKeys[layer]!, rotate(b, reshapes, settled(b, k), numKvHeads, positions, rotation))
    const values = write('v', cache.pastValues[layer]!, settled(b, v))
    return attend(b, config, reshapes, query, keys, values, visible)
  }
}

/** Keys (rotated) and values of one layer as rows [S, KH·D]. */
export interface LayerKeyValues { readonly keys: Value, readonly values: Value }

/** Attention of one text (ids [1,S]) without a cache; `collect` sees the keys and values of each layer. */
export function textAttention (b: GraphBuilder, config: LlamaConfig, maxPositions: number, ids: Value, collect: (keyValues: LayerKeyValues) => void): ForwardAttention {
  const { numHeads, numKvHeads, headSize } = config
  const rotation = rotationTables(b, config, maxPositions)
  const reshapes = sequencesOf(b, ids)
  const steps = countTo(b, ids, 1, ids.shape[1]!)
  const positions = b.unsqueeze(steps, 0)
  const visible = b.op('LessOrEqual', [steps, b.unsqueeze(steps, 1)], {})
  return (q, k, v) => {
    const query = rotate(b, reshapes, settled(b, q), numHeads, positions, rotation)
    const key = rotate(b, reshapes, settled(b, k), numKvHeads, positions, rotation)
    const value = settled(b, v)
    collect({ keys: asRows(b, key), values: value })
    const heads = (rows: Value): Value => b.transpose(reshapes.split(rows, numKvHeads, headSize), 0, 2, 1, 3)
    return attend(b, config, reshapes, query, heads(key), heads(value), visible)
  }
}

export function cacheInputs (b: GraphBuilder, config: LlamaConfig, ids: Value): CacheInputs {
  return { ids, ...cacheOf(b, config, 'B', name => name) }
}

export function laneInputs (b: GraphBuilder, config: LlamaConfig): LanesInputs {
  const usedRows = b.input('used_rows', 'int64', ['S'])
  const lanes = Array.from({ length: LANES }, (_, lane) => {
    const named = (name: string): string => laneName(name, lane)
    return { rows: b.input(named('lane_rows'), 'int64', [named('S')]), ...cacheOf(b, config, 1, named) }
  })
  return { lanes, usedRows }
}

function cacheOf (b: GraphBuilder, { numLayers, numKvHeads, headSize }: LlamaConfig, rows: Dim, named: (name: string) => string): Omit<CacheInputs, 'ids'> {
  const seqlensK = b.input(named('seqlens_k'), 'int32', [rows])
  const totalSequenceLength = b.input(named('total_seq_len'), 'int32', [])
  const layers = Array.from({ length: numLayers }, (_, layer) => layer)
  const past = (part: 'k' | 'v', layer: number): Value => b.input(named(pastName(part, layer)), 'float32', [rows, numKvHeads, named('T'), headSize])
  const pairs = layers.map(layer => ({ k: past('k', layer), v: past('v', layer) }))
  return { seqlensK, totalSequenceLength, pastKeys: pairs.map(({ k }) => k), pastValues: pairs.map(({ v }) => v) }
}
