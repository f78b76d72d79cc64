import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { after, suite, test } from 'node:test'
import type { InferenceSession } from 'onnxruntime-node'
import { servingGraph } from '../../../src/model/families/llama-serving.js'
import { maxDifference, relativeL2, seededNumbers } from '../../support/numbers.js'
import { openSession } from '../../support/ort.js'
import { quantisePlainly } from '../../support/quantise-plainly.js'
import { fixturesFolder } from '../../support/shared.js'
import { Slots } from '../../support/slots.js'
import { type PlainBase, TINY_VOCABULARY, float32Copy, readTensors, tinyLlama } from '../../support/tiny-llama.js'

interface ForwardCase { name: string, input_ids: number[][], attention_mask?: number[][], position_ids?: number[][], compare_positions: number[][], logits_shape: number[] }

// The recorded noise of a case may be NaN, which JSON does not know.
const json = <T>(path: string): T => JSON.parse(readFileSync(path, 'utf8').replaceAll(/\bNaN\b/g, 'null')) as T

async function openServing (base: PlainBase, format: 'float32' | 'w8a8', attention: 'fused' | 'plain'): Promise<InferenceSession> {
  const shared = { config: base.config, attention, maxPositions: base.config.contextLength }
  const bytes = format === 'float32' ? servingGraph({ ...shared, format, weights: base.weights }) : servingGraph({ ...shared, format, weights: quantisePlainly(base) })
  return openSession(bytes, base.folder, { prepack: true })
}

const randomIds = (seed: number, length: number): number[] => {
  const random = seededNumbers(seed)
  return Array.from({ length }, () => Math.floor((random() + 1) / 2 * TINY_VOCABULARY))
}

for (const model of ['llama', 'variants/llama_gqa_bf16_sharded']) {
  const folder = fixturesFolder(model)
  test(`${model}: float32 logits of the plain lowering as transformers`, { skip: folder === null && `no ${model} in the fixtures` }, async () => {
    const base = float32Copy(fixturesFolder(model, 'model')!)
    const session = await openServing(base, 'float32', 'plain')
    try {
      const { cases } = json<{ cases: ForwardCase[] }>(fixturesFolder(model, 'forward.json')!)
      const recorded = readTensors(fixturesFolder(model, 'forward.safetensors')!)
      const { vocabSize: V } = base.config
      let compared = 0
      for (const { name, input_ids: rows, attention_mask: mask, position_ids: positions, compare_positions: compare } of cases) {
        const logits = recorded.get(`${name}.logits`)!
        for (const [b, row] of rows.entries()) {
          // Where a row's tokens start at position 0 without padding between; on the left, only with positions that say so.
          const start = mask?.[b]?.indexOf(1) ?? 0
          if (start > 0 && positions === undefined) continue
          const length = mask === undefined ? row.length : mask[b]!.filter(Boolean).length
          const slots = new Slots(session, base.config, { slots: 1, positions: row.length })
          const { logits: ours } = await slots.run({ ids: [row.slice(start, start + length)], lengths: [length] })
          for (let s = 0; s < length; s++) {
            if (compare[b]![start + s] !== 1) continue
            const at = (b * row.length + start + s) * V
            const difference = maxDifference(ours.subarray(s * V, (s + 1) * V), logits.subarray(at, at + V))
            assert.ok(difference <= 1e-4, `${name}, row ${b}, token ${s}: logits differ by ${difference}`)
            compared++
          }
        }
      }
      assert.ok(compared > 0)
    } finally {
      await session.release()
      base.dispose()
    }
  })
}

suite('lowerings of the tiny Llama', () => {
  const base = tinyLlama()
  const opened = new Map<string, Promise<InferenceSession>>()
  const serving = (format: 'float32' | 'w8a8', attention: 'fused' | 'plain'): Promise<InferenceSession> => {
    const key = `${format} ${attention}`
    const session = opened.get(key) ?? openServing(base, format, attention)
    opened.set(key, session)
    return session
  }
  after(async () => {
    for (const session of opened.values()) await (await session).release()
    base.dispose()
  })
  const { numLayers, numKvHeads, headSize, hiddenSize, vocabSize: V } = base.config

  for (const format of ['float32', 'w8a8'] as const) {
    // int8 rounding amplifies the last bit of two attention kernels.
    const limit = format === 'float32' ? 1e-5 : 0.3
    test(`${format}: fused and plain attention agree over prefill, chunks and ragged decode`, async () => {
      const runs = []
      for (const attention of ['fused', 'plain'] as const) {
        const slots = new Slots(await serving(format, attention), base.config, { slots: 3, positions: 48, fill: 1e6 })
        const found: Float32Array[] = []
        const lengths = [11, 20, 5]
        for (const [slot, length] of lengths.entries()) {
          const ids = randomIds(slot, length)
          await slots.run({ slot, ids: [ids.slice(0, 3)], lengths: [3], hiddenRows: [], logitRows: [] })
          found.push((await slots.run({ slot, ids: [ids.slice(3)], lengths: [length], hiddenRows: [length - 4] })).logits)
        }
        for (let step = 1; step <= 3; step++) {
          found.push((await slots.run({ ids: [[step], [step + 1], [step + 2]], lengths: lengths.map(length => length + step) })).logits)
        }
        runs.push(found)
      }
      const [fused, plain] = runs
      for (const [i, logits] of fused!.entries()) {
        const difference = maxDifference(logits, plain![i]!)
        assert.ok(difference <= limit, `step ${i} differs by ${difference}`)
      }
    })

    for (const attention of ['fused', 'plain'] as const) {
      test(`${format} ${attention}: a row gives the same bits alone and among others`, async () => {
        const session = await serving(format, attention)
        const prompts = Array.from({ length: 8 }, (_, i) => randomIds(100 + i, 3 + 4 * i))
        const lengths = prompts.map(prompt => prompt.length)
        const filled = async (): Promise<Slots> => {
          const slots = new Slots(session, base.config, { slots: prompts.length, positions: 48 })
          for (const [slot, ids] of prompts.entries()) await slots.run({ slot, ids: [ids], lengths: [ids.length], hiddenRows: [] })
          return slots
        }
        const together = await filled()
        const apart = await filled()
        for (let step = 1; step <= 3; step++) {
          const all = await together.run({ ids: prompts.map((_, i) => [10 * step + i]), lengths: lengths.map(length => length + step) })
          for (const [slot, length] of lengths.entries()) {
            const { hidden, logits } = await apart.run({ slot, ids: [[10 * step + slot]], lengths: [length + step] })
            assert.deepEqual(logits, all.logits.slice(slot * V, (slot + 1) * V))
            assert.deepEqual(hidden, all.hidden.slice(slot * hiddenSize, (slot + 1) * hiddenSize))
          }
        }
        assert.deepEqual(together.arena, apart.arena)
      })

      test(`${format} ${attention}: a step writes the new positions of its own slots and nothing else`, async () => {
        const slots = new Slots(await serving(format, attention), base.config, { slots: 3, positions: 48 })
        await slots.run({ slot: 1, ids: [randomIds(7, 10)], lengths: [10], hiddenRows: [] })
        const before = Object.fromEntries(Object.entries(slots.arena).map(([name, values]) => [name, values.slice()]))
        await slots.run({ slot: 1, ids: [[1, 2, 3]], lengths: [13], hiddenRows: [2] })
        for (const [name, values] of Object.entries(slots.arena)) {
          const changed = new Set<string>()
          for (const [i, value] of values.entries()) {
            if (value !== before[name]![i]) changed.add(`slot ${Math.floor(i / slots.slotSize)} position ${Math.floor(i / headSize) % 48}`)
          }
          assert.deepEqual([...changed], ['slot 1 position 10', 'slot 1 position 11', 'slot 1 position 12'], name)
        }
        assert.equal(Object.keys(slots.arena).length, 2 * numLayers)
        assert.equal(slots.slotSize, numKvHeads * 48 * headSize)
      })

      test(`${format} ${attention}: soft tokens are read from the table, rows of zeros included, and hidden rows need no logits`, async () => {
        const slots = new Slots(await serving(format, attention), base.config, { slots: 2, positions: 48 })
        const table = readTensors(`${base.folder}/model.safetensors`).get('model.embed_tokens.weight')!.slice(40 * hiddenSize, 43 * hiddenSize)
        const hard = await slots.run({ slot: 0, ids: [[5, 40, 41, 42, 6]], lengths: [5] })
        const soft = await slots.run({ slot: 1, ids: [[5, V, V + 1, V + 2, 6]], lengths: [5], softTable: table })
        assert.deepEqual(soft.logits, hard.logits)
        const { hidden, logits } = await slots.run({ ids: [[V, V + 1, 3]], lengths: [3], softTable: new Float32Array(2 * hiddenSize), hiddenRows: [0, 2], logitRows: [] })
        assert.equal(logits.length, 0)
        assert.equal(hidden.length, 2 * hiddenSize)
        assert.ok(hidden.every(Number.isFinite))
      })
    }
  }

  test('w8a8 stays near float32', async () => {
    const ids = randomIds(3, 30)
    const run = async (format: 'float32' | 'w8a8'): Promise<Float32Array> =>
      (await new Slots(await serving(format, 'fused'), base.config, { slots: 1, positions: 48 }).run({ ids: [ids], lengths: [30] })).logits
    const [exact, quantised] = [await run('float32'), await run('w8a8')]
    const error = relativeL2(quantised, exact)
    assert.ok(error < 0.05, `relative error ${error}`)
  })
})
