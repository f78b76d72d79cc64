import assert from 'node:assert/strict'
import { join } from 'node:path'
import { after, before, suite, test } from 'node:test'
import { LANES } from '../../../src/graph/serving-contract.js'
import { slotLength } from '../../../src/inference/arena.js'
import { CApiEngine } from '../../../src/inference/engine/c-api.js'
import type { EngineOptions, PackInput } from '../../../src/inference/engine/engine.js'
import { StockEngine } from '../../../src/inference/engine/stock.js'
import { BASE_FILES } from '../../../src/model/base.js'
import { seededNumbers } from '../../support/numbers.js'
import { type TestBase, tinyBase } from '../tiny-base.js'

const SLOTS = 10
const POSITIONS = 96

function tokens (seed: number, count: number): number[] {
  const random = seededNumbers(seed)
  return Array.from({ length: count }, () => Math.floor((random() + 1) / 2 * 340))
}

/** Behind `prefix` positions. */
interface Input { readonly prefix: number, readonly ids: readonly number[] }

suite('several inputs in one run', () => {
  let tiny: TestBase
  let options: EngineOptions
  let engine: CApiEngine
  before(async () => {
    tiny = await tinyBase({ headSize: 16, hiddenSize: 64, contextLength: POSITIONS })
    const { folder, manifest } = tiny.base
    options = { file: join(folder, BASE_FILES.serving.w8a8), lanesFile: join(folder, BASE_FILES.lanes), config: manifest.config, slots: SLOTS, positions: POSITIONS, threads: 2 }
    engine = await CApiEngine.open(options)
  })
  after(async () => {
    await engine.close()
    await tiny.dispose()
  })

  const prefixOf = async (length: number): Promise<Float32Array> => {
    if (length > 0) await engine.step({ firstSlot: 9, rows: 1, ids: tokens(length, length), lengths: [length], hiddenRows: [], logitRows: [] })
    return engine.arena.read(9, length)
  }

  /** Hidden row, logits, and keys and values of each, one step for each. */
  const alone = async (inputs: readonly Input[]): Promise<Float32Array[][]> => {
    const results = []
    for (const { prefix, ids } of inputs) {
      const length = prefix + ids.length
      engine.arena.write(8, await prefixOf(prefix), prefix)
      const { hidden, logits } = await engine.step({ firstSlot: 8, rows: 1, ids, lengths: [length], hiddenRows: [ids.length - 1], logitRows: [0] })
      results.push([hidden.slice(), logits.slice(), engine.arena.read(8, length)])
    }
    return results
  }

  const together = async (firstSlot: number, inputs: readonly Input[]): Promise<Float32Array[][]> => {
    for (const [lane, { prefix }] of inputs.entries()) engine.arena.write(firstSlot + lane, await prefixOf(prefix), prefix)
    const { hidden, logits } = await engine.pack!({ firstSlot, inputs: inputs.map(({ ids }) => ids), lengths: inputs.map(({ prefix, ids }) => prefix + ids.length), logitRows: [...inputs.keys()] })
    const { hiddenSize: H, vocabSize: V } = options.config
    return inputs.map(({ prefix, ids }, lane) => [hidden.slice(lane * H, (lane + 1) * H), logits.slice(lane * V, (lane + 1) * V), engine.arena.read(firstSlot + lane, prefix + ids.length)])
  }

  test('gives the bits of one step for each, in every lane, at every length, with lanes left over and without', async () => {
    for (let count = 1; count <= LANES; count++) {
      for (let length = 1; length <= 33; length += count === LANES ? 1 : 8) {
        const inputs = Array.from({ length: count }, (_, lane) => ({ prefix: (lane * 5 + count) % 21, ids: tokens(100 + lane, 1 + (length + lane * 7) % 33) }))
        assert.deepEqual(await together(count % 3, inputs), await alone(inputs), `${count} inputs`)
      }
    }
  })

  test('changes the new positions of its own slots and nothing else, up to the last slot', async () => {
    for (const [firstSlot, lengths] of [[0, [3, 1]], [2, [1, 2, 3, 4, 5, 6, 7, 8]], [SLOTS - 1, [4]]] as const) {
      for (const part of engine.arena.parts) part.fill(7)
      const inputs = lengths.map((length, lane) => tokens(lane, length))
      await engine.pack!({ firstSlot, inputs, lengths: lengths.map(length => length + 10), logitRows: [] })
      const { shape } = engine.arena
      for (const [number, part] of engine.arena.parts.entries()) {
        for (let i = 0; i < part.length; i++) {
          const position = Math.floor(i / shape.headSize) % shape.positions
          const length = lengths[Math.floor(i / slotLength(shape)) - firstSlot]
          const own = length !== undefined && position >= 10 && position < 10 + length
          if (!own && part[i] !== 7) assert.fail(`part ${number}, number ${i}, position ${position} changed`)
        }
      }
    }
    for (const part of engine.arena.parts) part.fill(0)
  })

  test('gives logits of those that ask, between steps as among packs', async () => {
    const inputs = [5, 9, 2].map((length, lane) => ({ prefix: lane, ids: tokens(lane, length) }))
    const [, second] = await alone(inputs)
    await together(4, inputs)
    const { hidden, logits } = await engine.pack!({ firstSlot: 4, inputs: inputs.map(({ ids }) => ids), lengths: [5, 10, 4], logitRows: [1] })
    assert.equal(hidden.length, 3 * options.config.hiddenSize)
    assert.deepEqual(logits, second![1])
  })

  test('refuses a pack that does not fit and goes on', async () => {
    const fits: PackInput = { firstSlot: 0, inputs: [[1, 2], [3]], lengths: [2, 1], logitRows: [0] }
    for (const wrong of [
      { firstSlot: SLOTS - 1 }, { firstSlot: -1 }, { inputs: [] }, { inputs: [[1, 2], []] }, { inputs: Array.from({ length: LANES + 1 }, () => [1]), lengths: Array.from({ length: LANES + 1 }, () => 1) },
      { lengths: [1, 1] }, { lengths: [2] }, { lengths: [2, POSITIONS + 1] }, { inputs: [[1, options.config.vocabSize], [3]] }, { inputs: [[1, -1], [3]] }, { logitRows: [2] }, { logitRows: [0, 0, 0] }
    ]) {
      await assert.rejects(engine.pack!({ ...fits, ...wrong }), /^Error: internal: the step asks for/)
    }
    const running = engine.pack!(fits)
    await assert.rejects(engine.pack!(fits), /two steps at once/)
    await assert.rejects(engine.step({ firstSlot: 0, rows: 1, ids: [1], lengths: [1], hiddenRows: [], logitRows: [] }), /two steps at once/)
    await running
  })

  test('is not there without the graph, nor in the stock engine, nor where attention is not fused', async () => {
    const { lanesFile, ...withoutLanes } = options
    const engines = [await CApiEngine.open(withoutLanes), await StockEngine.open({ ...withoutLanes, lanesFile: lanesFile! })]
    for (const each of engines) {
      assert.equal(each.pack, null)
      await each.close()
    }
    const plain = await tinyBase({ headSize: 12, hiddenSize: 48 })
    assert.equal(plain.base.manifest.serving.w8a8.lanes, false)
    await plain.dispose()
  })
})
