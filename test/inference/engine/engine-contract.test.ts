import assert from 'node:assert/strict'
import { join } from 'node:path'
import { after, before, suite, test } from 'node:test'
import { BASE_FILES, SERVING_FORMATS, type ServingFormat } from '../../../src/model/base.js'
import { slotLength } from '../../../src/inference/arena.js'
import { CApiEngine } from '../../../src/inference/engine/c-api.js'
import type { Engine, EngineOptions, StepInput } from '../../../src/inference/engine/engine.js'
import { chunkOf } from '../../../src/inference/chunks.js'
import { StockEngine } from '../../../src/inference/engine/stock.js'
import { seededNumbers } from '../../support/numbers.js'
import { tinyBase, type TestBase } from '../tiny-base.js'

const SLOTS = 5
const POSITIONS = 320

const ENGINES = { 'c-api': CApiEngine.open, stock: StockEngine.open } as const

function tokens (seed: number, count: number): number[] {
  const random = seededNumbers(seed)
  return Array.from({ length: count }, () => Math.floor((random() + 1) / 2 * 340))
}

function engineContract (name: keyof typeof ENGINES, headSize: number, format: ServingFormat): void {
  suite(`${name} engine, head size ${headSize}, ${format}`, () => {
    let tiny: TestBase
    let options: EngineOptions
    let engine: Engine
    before(async () => {
      tiny = await tinyBase({ headSize, hiddenSize: headSize * 4, contextLength: POSITIONS })
      options = { file: join(tiny.base.folder, BASE_FILES.serving[format]), config: tiny.base.manifest.config, slots: SLOTS, positions: POSITIONS, threads: 2, maxHiddenRows: POSITIONS }
      engine = await ENGINES[name](options)
    })
    after(async () => {
      await engine.close()
      await tiny.dispose()
    })

    /** Copies, because outputs are views. */
    const step = async (input: StepInput): Promise<{ hidden: Float32Array, logits: Float32Array }> => {
      const { hidden, logits } = await engine.step(input)
      return { hidden: hidden.slice(), logits: logits.slice() }
    }
    const prefill = (slot: number, ids: number[], length = ids.length): Promise<{ hidden: Float32Array, logits: Float32Array }> =>
      step({ firstSlot: slot, rows: 1, ids, lengths: [length], hiddenRows: [ids.length - 1], logitRows: [0] })

    test('an input in chunks gives the bits of the whole input', async () => {
      // Flash attention takes queries in tiles of twice the head size, and rounds a tile of one query as it does a
      // decode step: of 257 in one piece the last is such a tile, of 255 and 2 none is. These sizes have none.
      for (const size of [2, 40, 300]) {
        const ids = tokens(size, size)
        const whole = await prefill(0, ids)
        const wholeCache = engine.arena.read(0, size)
        for (const first of [chunkOf(size), size >> 1].filter(first => first > 1 && first < size)) {
          await step({ firstSlot: 1, rows: 1, ids: ids.slice(0, first), lengths: [first], hiddenRows: [], logitRows: [] })
          assert.deepEqual(await prefill(1, ids.slice(first), size), whole, `${first} and then ${size - first}`)
          assert.deepEqual(engine.arena.read(1, size), wholeCache)
        }
      }
    })

    test('a row gives the same bits alone and beside rows of other lengths', async () => {
      const alone = []
      for (let row = 0; row < SLOTS; row++) {
        await prefill(row, tokens(10 + row, 3 + row * 7))
        alone.push(await step({ firstSlot: row, rows: 1, ids: [row + 5], lengths: [4 + row * 7], hiddenRows: [0], logitRows: [0] }))
      }
      const every = [0, 1, 2, 3, 4]
      const together = await step({ firstSlot: 0, rows: SLOTS, ids: every.map(row => row + 5), lengths: every.map(row => 4 + row * 7), hiddenRows: every, logitRows: every })
      assert.deepEqual(together.logits, Float32Array.from(alone.flatMap(({ logits }) => [...logits])))
      assert.deepEqual(together.hidden, Float32Array.from(alone.flatMap(({ hidden }) => [...hidden])))
    })

    test('a step changes the new positions of its own slots and nothing else', async () => {
      for (const part of engine.arena.parts) part.fill(7)
      const { shape } = engine.arena
      for (const input of [
        { firstSlot: 2, rows: 1, ids: tokens(3, 6), lengths: [20], hiddenRows: [5], logitRows: [0] },
        { firstSlot: 1, rows: 3, ids: [1, 2, 3], lengths: [9, 30, POSITIONS], hiddenRows: [0, 1, 2], logitRows: [0, 1, 2] }
      ]) {
        const before = engine.arena.parts.map(part => part.slice())
        await step(input)
        const length = input.ids.length / input.rows
        for (const [number, part] of engine.arena.parts.entries()) {
          for (let i = 0; i < part.length; i++) {
            const slot = Math.floor(i / slotLength(shape))
            const position = Math.floor(i / shape.headSize) % shape.positions
            const row = slot - input.firstSlot
            const own = row >= 0 && row < input.rows && position < input.lengths[row]! && position >= input.lengths[row]! - length
            if (!own && part[i] !== before[number]![i]) assert.fail(`part ${number}, slot ${slot}, position ${position} changed`)
          }
        }
      }
      for (const part of engine.arena.parts) part.fill(0)
    })

    test('virtual tokens compiled alone and copied give the bits of the same tokens in front of the text', async () => {
      const { vocabSize, hiddenSize } = options.config
      const random = seededNumbers(4)
      const softTable = Float32Array.from({ length: 9 * hiddenSize }, random)
      const virtual = Array.from({ length: 9 }, (_, i) => vocabSize + i)
      const text = tokens(5, 11)
      const inline = await step({ firstSlot: 0, rows: 1, ids: [...virtual, ...text], lengths: [20], hiddenRows: [19], logitRows: [0], softTable })
      await step({ firstSlot: 4, rows: 1, ids: virtual, lengths: [9], hiddenRows: [], logitRows: [], softTable })
      engine.arena.write(2, engine.arena.read(4, 9), 9)
      assert.deepEqual(await prefill(2, text, 20), inline)
    })

    test('a moved sequence goes on with the same bits', async () => {
      const ids = tokens(6, 12)
      await prefill(3, ids)
      const next = { rows: 1, ids: [7], lengths: [13], hiddenRows: [0], logitRows: [0] }
      const stayed = await step({ firstSlot: 3, ...next })
      engine.arena.move(3, 0, 12)
      assert.deepEqual(await step({ firstSlot: 0, ...next }), stayed)
    })

    test('refuses a step that does not fit and goes on', async () => {
      const fits: StepInput = { firstSlot: 0, rows: 1, ids: [1, 2], lengths: [2], hiddenRows: [1], logitRows: [0] }
      for (const wrong of [
        { firstSlot: SLOTS }, { firstSlot: -1 }, { rows: 2 }, { lengths: [1] }, { lengths: [POSITIONS + 1] }, { lengths: [2, 2] }, { ids: [1, options.config.vocabSize] },
        { ids: [-1, 2] }, { ids: [] }, { hiddenRows: [2] }, { logitRows: [1] }, { logitRows: [0, 0] }, { softTable: new Float32Array(3) }
      ]) {
        await assert.rejects(engine.step({ ...fits, ...wrong }), /^Error: internal: the step asks for/)
      }
      const running = engine.step(fits)
      await assert.rejects(engine.step(fits), /two steps at once/)
      await running
    })
  })
}

for (const name of Object.keys(ENGINES) as Array<keyof typeof ENGINES>) {
  for (const headSize of [16, 12]) {
    for (const format of SERVING_FORMATS) engineContract(name, headSize, format)
  }
}

test('both engines give the same bits', async () => {
  const { base, dispose } = await tinyBase()
  const engines = []
  try {
    const results = []
    for (const open of [CApiEngine.open, StockEngine.open]) {
      const engine: Engine = await open({ file: join(base.folder, BASE_FILES.serving.w8a8), config: base.manifest.config, slots: 2, positions: 32, threads: 1 })
      engines.push(engine)
      await engine.step({ firstSlot: 1, rows: 1, ids: [5, 6, 7], lengths: [3], hiddenRows: [], logitRows: [] })
      const { hidden, logits } = await engine.step({ firstSlot: 0, rows: 2, ids: [8, 9], lengths: [1, 4], hiddenRows: [0, 1], logitRows: [1] })
      results.push({ hidden: hidden.slice(), logits: logits.slice(), cache: engine.arena.read(1, 4) })
    }
    assert.deepEqual(results[0], results[1])
  } finally {
    for (const engine of engines) await engine.close()
    await dispose()
  }
})

test('an engine that cannot load its graph says so and frees what it had', async () => {
  const { base, dispose } = await tinyBase()
  try {
    await assert.rejects(CApiEngine.open({ file: join(base.folder, BASE_FILES.manifest), config: base.manifest.config, slots: 1, positions: 16, threads: 1 }), /ONNX Runtime: /)
  } finally {
    await dispose()
  }
})
